"""The rivals' losses against NumPy and plain loops."""

from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from avcmr.baselines.cca import covariances
from avcmr.baselines.contrastive import contrastive_loss
from avcmr.baselines.deep_cca import DeepCCA, correlation_loss
from avcmr.baselines.dscmr import DSCMR, PAIR_WEIGHT, SIMILARITY_WEIGHT, pairwise_likelihood_loss
from avcmr.baselines.label_space import Classification, Regression
from avcmr.baselines.tnn_c_cca import SemiHardTriplets
from avcmr.config import Config, Stage1Config
from avcmr.losses import cross_modal_loss


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_dcca_is_the_sum_of_canonical_correlations(seed: int) -> None:
    x = random(50, 5, seed=seed)
    y = x[:, [1, 0, 3, 2, 4]] + random(50, 5, seed=seed + 10)
    centred_x, centred_y = (part.numpy() - part.numpy().mean(axis=0) for part in (x, y))
    # Canonical correlations are the cosines of the angles between the column spaces.
    orthonormal = [np.linalg.qr(part)[0] for part in (centred_x, centred_y)]
    expected = np.linalg.svd(orthonormal[0].T @ orthonormal[1], compute_uv=False).sum()
    assert float(correlation_loss(x, y, ridge=0)) == pytest.approx(-expected, abs=1e-12)


def test_dcca_has_the_gradient_of_finite_differences() -> None:
    y = random(20, 3, seed=1)
    x = random(20, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda part: correlation_loss(part, y), (x,))


def test_dcca_embeds_by_the_cca_of_its_outputs(train, quick) -> None:
    torch.manual_seed(0)
    learner = DeepCCA(train, quick).eval()
    with torch.no_grad():
        learner.before_validation(train)
        audio, visual = learner.embedder()(train.audio, train.visual)
    _, _, cross = covariances(audio.double(), visual.double())
    on_diagonal = cross.diagonal()
    assert float((cross - on_diagonal.diag()).abs().max()) < 1e-4 * float(on_diagonal.max())


@pytest.mark.parametrize("class_positives", [False, True])
def test_contrastive_is_the_log_of_the_share_of_the_positives(class_positives: bool) -> None:
    similarity, labels = 3 * random(6, 6), [0, 0, 1, 2, 1, 0]

    def looped(matrix: list[list[float]]) -> float:
        total = 0.0
        for i, row in enumerate(matrix):
            positives = [
                j for j in range(6) if (labels[i] == labels[j] if class_positives else i == j)
            ]
            everything = sum(exp(value) for value in row)
            total -= sum(log(exp(row[j]) / everything) for j in positives) / len(positives)
        return total / 6

    y = torch.tensor(labels)
    positive = y[:, None] == y[None, :] if class_positives else torch.eye(6, dtype=torch.bool)
    expected = (looped(similarity.tolist()) + looped(similarity.T.tolist())) / 2
    assert float(contrastive_loss(similarity, positive)) == pytest.approx(expected, abs=1e-12)


def looped_likelihood(a: Tensor, b: Tensor, labels: list[int]) -> float:
    total = 0.0
    for i, u in enumerate(a.tolist()):
        for j, v in enumerate(b.tolist()):
            gamma = float(np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v)) / 2
            total += log(1 + exp(gamma)) - (labels[i] == labels[j]) * gamma
    return total / len(a) / len(b)


def test_pairwise_likelihood_is_that_of_the_paper() -> None:
    a, b, labels = random(5, 4), random(5, 4, seed=1), [0, 1, 0, 2, 1]
    y = torch.tensor(labels)
    same = (y[:, None] == y[None, :]).double()
    expected = looped_likelihood(a, b, labels)
    assert float(pairwise_likelihood_loss(a, b, same)) == pytest.approx(expected, abs=1e-12)


def test_dscmr_weighs_labels_similarities_and_pairs(train, quick) -> None:
    torch.manual_seed(0)
    learner = DSCMR(train, quick).double().eval()
    audio, visual, labels = train.audio[:8].double(), train.visual[:8].double(), train.labels[:8]
    learner.requires_grad_(False)
    u, v = learner.network.audio.project(audio), learner.network.visual.project(visual)
    y = labels.tolist()
    expected = 0.0
    for part in (u, v):
        for row, label in zip(learner.classifier(part).tolist(), y, strict=True):
            target = [float(k == label) for k in range(4)]
            expected += float(np.linalg.norm(np.subtract(row, target))) / 8
    for a, b in ((u, v), (u, u), (v, v)):
        expected += SIMILARITY_WEIGHT * looped_likelihood(a, b, y)
    for a_row, b_row in zip(u.tolist(), v.tolist(), strict=True):
        expected += PAIR_WEIGHT * float(np.linalg.norm(np.subtract(a_row, b_row))) / 8
    assert float(learner.loss(audio, visual, labels)) == pytest.approx(expected, abs=1e-9)
    assert learner.network.audio.layers[-1] is learner.network.visual.layers[-1]


def test_label_space_losses_and_embeddings(train, quick: Config) -> None:
    torch.manual_seed(0)
    for learner in (Classification(train, quick), Regression(train, quick)):
        learner.eval().requires_grad_(False)
        audio, visual = train.audio[:6], train.visual[:6]
        outputs = [
            part.double().tolist()
            for part in (
                learner.network.audio.project(audio),
                learner.network.visual.project(visual),
            )
        ]
        embedded = learner.embedder()(audio, visual)
        expected = 0.0
        for modality, scores in enumerate(outputs):
            for item, (row, label) in enumerate(
                zip(scores, train.labels[:6].tolist(), strict=True)
            ):
                shares = [exp(value) / sum(map(exp, row)) for value in row]
                if isinstance(learner, Classification):
                    expected -= log(shares[label]) / 6
                    assert embedded[modality][item].tolist() == pytest.approx(shares, abs=1e-6)
                else:
                    squares = [(value - (k == label)) ** 2 for k, value in enumerate(row)]
                    expected += sum(squares) / len(row) / 6
                    assert embedded[modality][item].tolist() == pytest.approx(row, abs=1e-6)
        loss = learner.loss(audio, visual, train.labels[:6])
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_the_triplet_network_learns_from_semi_hard_triplets(train, quick) -> None:
    torch.manual_seed(0)
    learner = SemiHardTriplets(train, quick).eval()
    audio, visual = learner.network(train.audio, train.visual)
    expected = cross_modal_loss(audio, visual, train.labels, Stage1Config()).value
    assert torch.equal(learner.loss(train.audio, train.visual, train.labels), expected)
