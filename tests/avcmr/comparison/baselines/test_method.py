"""How the rivals' galleries are ranked: by cosine as published, or by class posterior as ours."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.comparison.baselines import cluster_cca
from avcmr.comparison.baselines.label_space import Classification
from avcmr.comparison.baselines.method import (
    Embedder,
    average_map,
    best_on_validation,
    with_class_posterior,
)
from avcmr.config import Config
from avcmr.config_files import load_config
from avcmr.model.class_posterior import ClassPosterior

BY_COSINE = load_config(None, ["model.posterior_temperature=0"])


@pytest.fixture
def plain(train, val) -> Embedder:
    embedder = cluster_cca.fit(train, val, BY_COSINE).by_posterior
    assert isinstance(embedder, Embedder)
    return embedder


def common_class(p: Tensor, q: Tensor) -> Tensor:
    """(N, C), (M, C) → (N, M) probabilities of a common class, in a plain loop."""
    return torch.tensor(
        [[sum(a * b for a, b in zip(x, y, strict=True)) for y in q.tolist()] for x in p.tolist()]
    )


def cosines(audio: Tensor, visual: Tensor) -> Tensor:
    return normalize(audio, dim=1) @ normalize(visual, dim=1).T


def test_without_a_temperature_embedders_are_unchanged(plain, train) -> None:
    assert with_class_posterior(plain, train, BY_COSINE) is plain


def test_class_posteriors_are_fitted_on_the_training_clips(plain, train, test) -> None:
    found = with_class_posterior(plain, train, Config())
    posterior = ClassPosterior(4, plain.audio(test.audio).shape[1], 0.1)
    audio, visual = (normalize(x.float(), dim=1) for x in plain(train.audio, train.visual))
    posterior.fit(audio, visual, train.labels)
    audio, visual = (normalize(x.float(), dim=1) for x in plain(test.audio, test.visual))
    expected = common_class(posterior.audio(audio)[:, :4], posterior.visual(visual)[:, :4])
    torch.testing.assert_close(cosines(*found(test.audio, test.visual)), expected)


def test_embedders_of_pairs_are_followed_by_the_same_posteriors(plain, train, test) -> None:
    def pair(audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return plain(audio, visual)

    joint, alone = (with_class_posterior(embedder, train, Config()) for embedder in (pair, plain))
    assert not isinstance(joint, Embedder)
    assert all(map(torch.equal, joint(*both(test)), alone(*both(test))))


def test_classifiers_keep_their_own_posteriors(train, test, quick) -> None:
    torch.manual_seed(0)
    learner = Classification(train, quick).eval().requires_grad_(False)
    found = with_class_posterior(learner.embedder(), train, quick)(*both(test))
    expected = common_class(*learner.embedder()(*both(test)))
    torch.testing.assert_close(cosines(*found), expected)


def test_the_best_on_validation_is_kept_for_each_ranking(train, val) -> None:
    """Outputs of ten random projections; which is best may differ."""
    generator = torch.Generator().manual_seed(0)

    def projected() -> Embedder:
        matrices = [torch.randn(dim, 5, generator=generator) for dim in (6, 9)]
        return Embedder(*((lambda rows, matrix=matrix: rows @ matrix) for matrix in matrices))

    candidates = [projected() for _ in range(10)]
    choice = best_on_validation(candidates, train, val, Config())
    by_cosine = [average_map(one, val) for one in candidates]
    by_posterior = [
        average_map(with_class_posterior(one, train, Config()), val) for one in candidates
    ]
    assert choice.by_cosine is candidates[by_cosine.index(max(by_cosine))]
    assert choice.by_posterior is candidates[by_posterior.index(max(by_posterior))]


def both(clips) -> tuple[Tensor, Tensor]:
    return clips.audio, clips.visual
