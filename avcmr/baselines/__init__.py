"""Methods to compare with, one file each; here is what they have in common.

A method learns from training clips, chooses on validation clips whatever it has to choose (the
regularisation, the epoch), and never sees a test clip. What it has learned embeds clips. How, is
told by the type: an :class:`Embedder` embeds each item from its own modality alone, as retrieval
demands; any other :data:`PairEmbedder` may look at both modalities of a pair, which makes
another, easier task of it. How the embeddings are searched is not a method's own, but a setting
for all of them (:func:`searched`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar, overload

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.config import Config
from avcmr.data import PairedFeatures
from avcmr.metrics import mean_average_precision
from avcmr.posterior import ClassPosterior

Encoder = Callable[[Tensor], Tensor]
"""Features of one modality (N, input_dim) → embeddings (N, D), of any length, not all zero."""

PairEmbedder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Audio (N, audio_dim) and visual (N, visual_dim) of N clips → their two embeddings (N, D)."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """Each item from its own modality alone."""

    audio: Encoder
    visual: Encoder

    def __call__(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.audio(audio), self.visual(visual)


Fit = Callable[[PairedFeatures, PairedFeatures, Config], PairEmbedder]
"""Training clips, validation clips and settings → what was learned.

The settings are those of our own training, so that all gradient-trained methods share network,
regularisation, batch size and number of epochs; ``config.seed`` is the only source of randomness.
"""

Category = Literal["chance", "closed form", "trained", "ours", "joint input"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method by name.

    Attributes:
        name: as given on the command line.
        category: what it is to be compared with; "joint input" sees both modalities of a test
            pair and stands outside the comparison.
        source: who described it, and where.
        fit: how it learns.
        seeded: whether the result depends on the seed; if not, one run tells all.
    """

    name: str
    category: Category
    source: str
    fit: Fit
    seeded: bool = True


AnyEmbedder = TypeVar("AnyEmbedder", bound=PairEmbedder)


def classes_of(train: PairedFeatures) -> int:
    """Number of classes, as far as the training clips know."""
    return int(train.labels.max()) + 1


@overload
def searched(embedder: Embedder, train: PairedFeatures, config: Config) -> Embedder: ...
@overload
def searched(embedder: PairEmbedder, train: PairedFeatures, config: Config) -> PairEmbedder: ...
@torch.no_grad()
def searched(embedder: PairEmbedder, train: PairedFeatures, config: Config) -> PairEmbedder:
    """What is compared by cosine in the end: embeddings, or the class posteriors made of them.

    As in our own network ``model.posterior_temperature`` decides: 0 is the cosine of the
    embeddings, which the methods were published with; else :class:`ClassPosterior` follows, fitted
    on the embeddings of the training clips.
    """
    if not config.model.posterior_temperature:
        return embedder
    audio, visual = map(_unit, embedder(train.audio, train.visual))
    posterior = ClassPosterior(
        classes_of(train), audio.shape[1], config.model.posterior_temperature
    ).to(audio.device)
    posterior.fit(audio, visual, train.labels)
    if isinstance(embedder, Embedder):
        return Embedder(
            lambda audio: posterior.audio(_unit(embedder.audio(audio))),
            lambda visual: posterior.visual(_unit(embedder.visual(visual))),
        )

    def pair(audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        audio, visual = map(_unit, embedder(audio, visual))
        return posterior.audio(audio), posterior.visual(visual)

    return pair


def _unit(embeddings: Tensor) -> Tensor:
    return normalize(embeddings.float(), dim=1)


def validation_map(embedder: PairEmbedder, clips: PairedFeatures) -> float:
    """Mean of MAP audio → visual and visual → audio on some clips: what methods choose by."""
    audio, visual = embedder(clips.audio, clips.visual)
    forth = mean_average_precision(audio, visual, clips.labels, clips.labels)
    return (forth + mean_average_precision(visual, audio, clips.labels, clips.labels)) / 2


def best_on_validation(
    candidates: Iterable[Embedder], train: PairedFeatures, val: PairedFeatures, config: Config
) -> Embedder:
    """Of the candidates, searched as the settings say, the one of highest MAP on validation."""
    return max(
        (searched(embedder, train, config) for embedder in candidates),
        key=lambda embedder: validation_map(embedder, val),
    )
