"""Class posteriors as embeddings, against the sums they stand for."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from avcmr.model.class_posterior import ClassPosterior

CLASSES, DIM, TEMPERATURE = 5, 8, 0.2


def clips(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(0))
    audio, visual = (
        normalize(centres[labels] + torch.randn(count, DIM, generator=generator), dim=1)
        for _ in range(2)
    )
    return audio, visual, labels


@pytest.fixture
def posterior() -> ClassPosterior:
    posterior = ClassPosterior(CLASSES, DIM, TEMPERATURE)
    posterior.fit(*clips(200, 1))
    return posterior


def test_cosine_is_the_chance_of_a_common_class(posterior: ClassPosterior) -> None:
    train_audio, train_visual, labels = (x.numpy() for x in clips(200, 1))
    both, twice = np.concatenate([train_audio, train_visual]), np.tile(labels, 2)
    prototypes = np.stack([both[twice == c].mean(axis=0) for c in range(CLASSES)])
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)

    def probabilities(embeddings: torch.Tensor) -> np.ndarray:
        scores = np.exp(embeddings.numpy() @ prototypes.T / TEMPERATURE)
        return scores / scores.sum(axis=1, keepdims=True)

    audio, visual, _ = clips(30, 2)
    heard, seen = posterior.audio(audio), posterior.visual(visual)
    assert heard.shape == seen.shape == (30, CLASSES + 2)
    torch.testing.assert_close(heard.norm(dim=1), torch.ones(30))
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(30))
    np.testing.assert_allclose(
        (heard @ seen.T).numpy(), probabilities(audio) @ probabilities(visual).T, atol=1e-5
    )


def test_an_unsure_item_ranks_below_a_sure_one_of_the_right_class(
    posterior: ClassPosterior,
) -> None:
    """By cosine of the embeddings the two are hardly told apart."""
    prototype = posterior.prototypes[0]
    sure = prototype
    unsure = normalize(prototype + posterior.prototypes[1:].sum(dim=0), dim=0)
    query = posterior.audio(prototype[None])
    near, far = (query @ posterior.visual(torch.stack([sure, unsure])).T)[0]
    assert near > 2 * far


def test_prototypes_classify_as_a_linear_classifier_of_the_same_clips_nearly_does(
    posterior: ClassPosterior,
) -> None:
    audio, _, labels = clips(200, 1)
    heard, _, truth = clips(500, 3)
    rival = LogisticRegression(max_iter=1000).fit(audio.numpy(), labels.numpy())
    ours = (posterior.audio(heard)[:, :CLASSES].argmax(dim=1) == truth).float().mean()
    assert ours > rival.score(heard.numpy(), truth.numpy()) - 0.03


def test_a_class_without_training_clips_has_no_share() -> None:
    posterior = ClassPosterior(CLASSES + 1, DIM, TEMPERATURE)
    posterior.fit(*clips(200, 1))
    fewer = ClassPosterior(CLASSES, DIM, TEMPERATURE)
    fewer.fit(*clips(200, 1))
    audio, visual, _ = clips(30, 2)
    heard = posterior.audio(audio)
    assert (heard[:, CLASSES] == 0).all()
    torch.testing.assert_close(heard[:, :CLASSES], fewer.audio(audio)[:, :CLASSES])
    torch.testing.assert_close(
        heard @ posterior.visual(visual).T, fewer.audio(audio) @ fewer.visual(visual).T
    )
