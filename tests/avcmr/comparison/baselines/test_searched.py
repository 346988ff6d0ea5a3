"""How the rivals' embeddings are searched: as published by cosine, or as our own."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.comparison.baselines import cluster_cca
from avcmr.comparison.baselines.label_space import Classification
from avcmr.comparison.baselines.method import Embedder, average_map, best_on_validation, searched
from avcmr.config import Config
from avcmr.config_files import load_config
from avcmr.model.class_posterior import ClassPosterior

BY_COSINE = load_config(None, ["model.posterior_temperature=0"])


@pytest.fixture
def plain(train, val) -> Embedder:
    embedder = cluster_cca.fit(train, val, BY_COSINE).as_set
    assert isinstance(embedder, Embedder)
    return embedder


def common_class(p: Tensor, q: Tensor) -> Tensor:
    """(N, C), (M, C) → (N, M) chances, in a plain loop."""
    return torch.tensor(
        [[sum(a * b for a, b in zip(x, y, strict=True)) for y in q.tolist()] for x in p.tolist()]
    )


def cosines(audio: Tensor, visual: Tensor) -> Tensor:
    return normalize(audio, dim=1) @ normalize(visual, dim=1).T


def test_by_cosine_they_are_left_as_they_are(plain, train) -> None:
    assert searched(plain, train, BY_COSINE) is plain


def test_class_posteriors_follow_from_the_training_clips(plain, train, test) -> None:
    found = searched(plain, train, Config())
    posterior = ClassPosterior(4, plain.audio(test.audio).shape[1], 0.1)
    audio, visual = (normalize(x.float(), dim=1) for x in plain(train.audio, train.visual))
    posterior.fit(audio, visual, train.labels)
    heard, seen = (normalize(x.float(), dim=1) for x in plain(test.audio, test.visual))
    expected = common_class(posterior.audio(heard)[:, :4], posterior.visual(seen)[:, :4])
    torch.testing.assert_close(cosines(*found(test.audio, test.visual)), expected)


def test_what_sees_both_modalities_is_searched_alike(plain, train, test) -> None:
    def pair(audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return plain(audio, visual)

    joint, alone = (searched(embedder, train, Config()) for embedder in (pair, plain))
    assert not isinstance(joint, Embedder)
    assert all(map(torch.equal, joint(*both(test)), alone(*both(test))))


def test_classifiers_give_their_own_posteriors(train, test, quick) -> None:
    torch.manual_seed(0)
    learner = Classification(train, quick).eval().requires_grad_(False)
    found = searched(learner.embedder(), train, quick)(*both(test))
    expected = common_class(*learner.embedder()(*both(test)))
    torch.testing.assert_close(cosines(*found), expected)


def test_the_best_on_validation_is_kept_for_each_search(train, val) -> None:
    """Outputs of ten random projections; which is best may differ."""
    generator = torch.Generator().manual_seed(0)

    def projected() -> Embedder:
        matrices = [torch.randn(dim, 5, generator=generator) for dim in (6, 9)]
        return Embedder(*((lambda rows, matrix=matrix: rows @ matrix) for matrix in matrices))

    candidates = [projected() for _ in range(10)]
    choice = best_on_validation(candidates, train, val, Config())
    by_cosine = [average_map(one, val) for one in candidates]
    as_set = [average_map(searched(one, train, Config()), val) for one in candidates]
    assert choice.by_cosine is candidates[by_cosine.index(max(by_cosine))]
    assert choice.as_set is candidates[as_set.index(max(as_set))]


def both(clips) -> tuple[Tensor, Tensor]:
    return clips.audio, clips.visual
