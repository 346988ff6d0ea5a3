"""Methods to compare with, one file each; here is what they have in common.

A method learns from training clips, chooses on validation clips whatever it has to choose (the
regularisation, the epoch), and never sees a test clip. What it has learned embeds clips. How, is
told by the type: an :class:`Embedder` embeds each item from its own modality alone, as retrieval
demands; any other :data:`PairEmbedder` may look at both modalities of a pair, which makes
another, easier task of it. How the embeddings are searched is not a method's own, but a setting
for all of them: whoever chooses or measures asks :func:`searched` for what is compared.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.metrics import map_both_ways
from avcmr.model.class_posterior import ClassPosterior, comparable

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


@dataclass(frozen=True, slots=True)
class Classifier(Embedder):
    """An embedder whose embeddings are probabilities of the classes, and so sum to 1."""


class Choice(NamedTuple):
    """What a method learned, chosen on validation clips by each of two searches.

    Attributes:
        as_set: the best as the settings say, by which :func:`searched` makes it ready.
        by_cosine: the best by the cosine of its embeddings, which rivals were published with.
    """

    as_set: PairEmbedder
    by_cosine: PairEmbedder


Fit = Callable[[PairedFeatures, PairedFeatures, Config], Choice]
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

    def learn(self, train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
        """Fit, and make what was learned ready to be compared by cosine: see :func:`searched`."""
        choice = self.fit(train, val, config)
        return choice._replace(as_set=searched(choice.as_set, train, config))


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
    on the embeddings of the training clips. A :class:`Classifier` has posteriors of its own.
    """
    if not config.model.posterior_temperature:
        return embedder
    if isinstance(embedder, Classifier):
        return Embedder(
            lambda audio: comparable(embedder.audio(audio), "audio"),
            lambda visual: comparable(embedder.visual(visual), "visual"),
        )
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


def average_map(embedder: PairEmbedder, clips: PairedFeatures) -> float:
    """Mean of MAP audio → visual and visual → audio on some clips, of embeddings as they are."""
    return map_both_ways(*embedder(clips.audio, clips.visual), clips.labels).average


class Selection:
    """Keeps, of all embedders that are offered, the best on validation by each search.

    Args:
        train: training clips, for :func:`searched`.
        val: validation clips.
        config: says how it is searched.
    """

    def __init__(self, train: PairedFeatures, val: PairedFeatures, config: Config) -> None:
        self._train, self._val, self._config = train, val, config
        self._best: dict[str, tuple[float, PairEmbedder]] = {}

    def offer(self, embedder: PairEmbedder) -> bool:
        """Whether it is the best so far, searched as the settings say."""
        self._keep("by_cosine", embedder, average_map(embedder, self._val))
        ready = searched(embedder, self._train, self._config)
        return self._keep("as_set", embedder, average_map(ready, self._val))

    @property
    def choice(self) -> Choice:
        """The best of what was offered, which must have been something."""
        return Choice(**{search: embedder for search, (_, embedder) in self._best.items()})

    def _keep(self, search: str, embedder: PairEmbedder, reached: float) -> bool:
        if search in self._best and reached <= self._best[search][0]:
            return False
        self._best[search] = (reached, embedder)
        return True


def best_on_validation(
    candidates: Iterable[Embedder], train: PairedFeatures, val: PairedFeatures, config: Config
) -> Choice:
    """Of the candidates, those of highest MAP on validation."""
    selection = Selection(train, val, config)
    for embedder in candidates:
        selection.offer(embedder)
    return selection.choice
