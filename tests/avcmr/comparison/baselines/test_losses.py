"""The rivals' losses against NumPy and plain loops."""

from math import exp, log

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch import Tensor

from avcmr.comparison.baselines import cluster_cca
from avcmr.comparison.baselines.cca import covariances
from avcmr.comparison.baselines.contrastive import contrastive_loss
from avcmr.comparison.baselines.deep_cca import DeepCCA, correlation_loss
from avcmr.comparison.baselines.dscmr import (
    DSCMR,
    PAIR_WEIGHT,
    SIMILARITY_WEIGHT,
    pairwise_likelihood_loss,
)
from avcmr.comparison.baselines.label_space import Classification, Regression
from avcmr.comparison.baselines.method import Embedder
from avcmr.comparison.baselines.msnsca import MSNSCA, MultiScale
from avcmr.comparison.baselines.tnn_c_cca import SemiHardTriplets
from avcmr.config import Config


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


def test_the_triplet_network_learns_from_semi_hard_triplets_of_the_projections(
    train, val, quick
) -> None:
    projection = cluster_cca.fit(train, val, quick).by_cosine
    assert isinstance(projection, Embedder)
    torch.manual_seed(0)
    learner = SemiHardTriplets(projection, train, quick).double().eval().requires_grad_(False)
    few = train[range(12)]
    a, v = (
        (branch(project(features).float().double()))
        for branch, project, features in (
            (learner.network.audio, projection.audio, few.audio),
            (learner.network.visual, projection.visual, few.visual),
        )
    )
    torch.testing.assert_close(learner.embedder()(few.audio, few.visual), (a, v))
    projected = projection.audio(train.audio).float()
    torch.testing.assert_close(learner.network.audio.mean, projected.mean(dim=0).double())
    labels, expected = few.labels.tolist(), 0.0
    for anchors, others in ((a.numpy(), v.numpy()), (v.numpy(), a.numpy())):
        violations = []
        for i, anchor in enumerate(anchors):
            distances = [1 - float(anchor @ other) for other in others]
            negatives = [d for d, y in zip(distances, labels, strict=True) if y != labels[i]]
            for to_positive, y in zip(distances, labels, strict=True):
                beyond = [d for d in negatives if d > to_positive]
                if y == labels[i] and beyond:
                    violations.append(to_positive - min(beyond) + 0.2)
        active = [value for value in violations if value > 0]
        expected += sum(active) / len(active)
    assert float(learner.loss(few.audio, few.visual, few.labels)) == pytest.approx(expected)


def softmax(rows: np.ndarray) -> np.ndarray:
    weights = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def gelu(values: np.ndarray) -> np.ndarray:
    return np.asarray(values * (1 + erf(values / np.sqrt(2))) / 2)


def tokens_in_loops(scales: MultiScale, features: Tensor) -> np.ndarray:
    """(B, D) → (B, 3, WIDTH): convolutions of widths 3, 5 and 7, place by place."""
    weights = {name: value.numpy() for name, value in scales.state_dict().items()}
    scaled = (features.numpy() - weights["mean"]) / weights["std"]
    count, length = scaled.shape
    tokens = []
    for index, width in enumerate((3, 5, 7)):
        kernel, bias = weights[f"scales.{index}.0.weight"][:, 0], weights[f"scales.{index}.0.bias"]
        padded = np.pad(scaled, ((0, 0), (width // 2, width // 2)))
        convolved = np.array(
            [
                [
                    [padded[n, at : at + width] @ kernel[c] + bias[c] for at in range(length)]
                    for c in range(len(kernel))
                ]
                for n in range(count)
            ]
        )
        linear = weights[f"scales.{index}.3.weight"], weights[f"scales.{index}.3.bias"]
        tokens.append(gelu(gelu(convolved).reshape(count, -1) @ linear[0].T + linear[1]))
    return np.stack(tokens, axis=1)


def attended_in_loops(learner: MSNSCA, tokens: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Four heads, one by one; then the sum's layer norm."""
    weights = {name: value.numpy() for name, value in learner.state_dict().items()}
    maps = np.split(weights["attention.in_proj_weight"], 3)
    biases = np.split(weights["attention.in_proj_bias"], 3)
    query, key, value = (
        rows @ matrix.T + bias
        for rows, matrix, bias in zip((tokens, context, context), maps, biases, strict=True)
    )
    size = query.shape[2] // 4
    heads = []
    for head in range(4):
        part = slice(head * size, (head + 1) * size)
        scores = query[..., part] @ key[..., part].transpose(0, 2, 1) / np.sqrt(size)
        heads.append(softmax(scores) @ value[..., part])
    found = np.concatenate(heads, axis=2) @ weights["attention.out_proj.weight"].T
    summed = tokens + found + weights["attention.out_proj.bias"]
    centred = summed - summed.mean(axis=2, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=2, keepdims=True) + 1e-5)
    return np.asarray(scaled * weights["norm.weight"] + weights["norm.bias"])


@pytest.mark.parametrize("joint", [False, True])
def test_msnsca_is_its_convolutions_attention_and_losses(train, quick, joint: bool) -> None:
    """Each modality attends to itself; as published, to the other of its pair."""
    torch.manual_seed(0)
    learner = MSNSCA(train, quick, joint=joint).double().eval().requires_grad_(False)
    few, y = train[range(5)], train.labels[:5].tolist()
    audio, visual = few.audio.double(), few.visual.double()
    a = tokens_in_loops(learner.audio_scales, audio)
    v = tokens_in_loops(learner.visual_scales, visual)
    embedded = []
    for tokens, other, out in ((a, v, learner.audio_out), (v, a, learner.visual_out)):
        flat = attended_in_loops(learner, tokens, other if joint else tokens).reshape(5, -1)
        linear = {name: value.numpy() for name, value in out.state_dict().items()}
        embedded.append(torch.tensor(flat @ linear["1.weight"].T + linear["1.bias"]))
    torch.testing.assert_close(learner.embedder()(audio, visual), tuple(embedded))
    expected = sum(
        looped_likelihood(rows, others, y)
        for rows, others in ((embedded[0], embedded[0]), (embedded[1], embedded[1]), embedded)
    )
    classifier = learner.classifier
    for rows in embedded:
        shares = softmax((rows @ classifier.weight.T + classifier.bias).numpy())
        expected -= sum(log(shares[n, label]) for n, label in enumerate(y)) / 5
    assert float(learner.loss(audio, visual, few.labels)) == pytest.approx(expected)
