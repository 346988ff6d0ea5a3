"""What every compared method has in common; the methods themselves are one file each.

A method learns from training clips, chooses its hyper-parameters and its epoch on validation
clips, and never sees a test clip. The result is a function that embeds clips, and its type says
from what: an :class:`Embedder` embeds each item from its own modality alone, as retrieval demands;
any other :data:`PairEmbedder` may use both modalities of a pair, which is another, easier task.
How the gallery is ranked is not up to the method but a setting for all of them, applied by
:func:`with_class_posterior`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.metrics import map_both_ways
from avcmr.model.class_posterior import ClassPosterior, posterior_vectors

Encoder = Callable[[Tensor], Tensor]
"""Features of one modality (N, input_dim) → embeddings (N, D), of any length, not all zero."""

PairEmbedder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Audio (N, audio_dim) and visual (N, visual_dim) of N clips → their two embeddings (N, D)."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """Embeds each item from its own modality alone."""

    audio: Encoder
    visual: Encoder

    def __call__(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.audio(audio), self.visual(visual)


@dataclass(frozen=True, slots=True)
class Classifier(Embedder):
    """An embedder whose embeddings are class probabilities, so that each row sums to 1."""


class Choice(NamedTuple):
    """The embedders with the best validation MAP, one for each way to rank the gallery.

    Attributes:
        by_posterior: the best when ranked by class-posterior similarity
            (:func:`with_class_posterior`), or by cosine if the settings turn posteriors off.
        by_cosine: the best when ranked by the cosine of its embeddings, as the rivals were
            published.
    """

    by_posterior: PairEmbedder
    by_cosine: PairEmbedder


Fit = Callable[[PairedFeatures, PairedFeatures, Config], Choice]
"""Training clips, validation clips and settings → the best embedders.

The settings are those of our own training, so that all gradient-trained methods share network,
regularisation, batch size and number of epochs; ``config.seed`` is the only source of randomness.
"""

Category = Literal["chance", "closed form", "trained", "ours", "joint input"]


@dataclass(frozen=True, slots=True)
class Method:
    """A method by name.

    Attributes:
        name: as given on the command line.
        category: the group it is compared within; "joint input" sees both modalities of a test
            pair and stands outside the comparison.
        source: the publication that describes it.
        fit: how it learns.
        seeded: whether the result depends on the seed; if not, one run is enough.
    """

    name: str
    category: Category
    source: str
    fit: Fit
    seeded: bool = True

    def learn(self, train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
        """Fit, with class posteriors behind ``by_posterior``: both are ready for cosine ranking."""
        choice = self.fit(train, val, config)
        return choice._replace(
            by_posterior=with_class_posterior(choice.by_posterior, train, config)
        )


def class_count(train: PairedFeatures) -> int:
    """Number of classes among the training clips."""
    return int(train.labels.max()) + 1


@torch.no_grad()
def with_class_posterior(
    embedder: PairEmbedder, train: PairedFeatures, config: Config
) -> PairEmbedder:
    """The embedder followed by class posteriors, so that cosine is class-posterior similarity.

    The posterior is a :class:`ClassPosterior` fitted on the embeddings of the training clips, as
    in our own network; a :class:`Classifier` brings its own. With
    ``model.posterior_temperature = 0`` the embedder is returned unchanged: cosine of the
    embeddings, as the methods were published.
    """
    if not config.model.posterior_temperature:
        return embedder
    if isinstance(embedder, Classifier):
        return Embedder(
            lambda audio: posterior_vectors(embedder.audio(audio), "audio"),
            lambda visual: posterior_vectors(embedder.visual(visual), "visual"),
        )
    audio, visual = map(_unit, embedder(train.audio, train.visual))
    posterior = ClassPosterior(
        class_count(train), audio.shape[1], config.model.posterior_temperature
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
    """Mean of MAP audio → visual and visual → audio on these clips, ranked by cosine."""
    return map_both_ways(*embedder(clips.audio, clips.visual), clips.labels).average


class Selection:
    """Keeps the embedders with the best validation MAP, by class posterior and by cosine."""

    def __init__(self, train: PairedFeatures, val: PairedFeatures, config: Config) -> None:
        self._train, self._val, self._config = train, val, config
        self._best: dict[str, tuple[float, PairEmbedder]] = {}

    def offer(self, embedder: PairEmbedder) -> bool:
        """Consider an embedder; returns whether it is the best so far by class posterior."""
        self._keep("by_cosine", embedder, average_map(embedder, self._val))
        ready = with_class_posterior(embedder, self._train, self._config)
        return self._keep("by_posterior", embedder, average_map(ready, self._val))

    @property
    def choice(self) -> Choice:
        """The best embedders so far; at least one must have been offered."""
        return Choice(**{ranking: embedder for ranking, (_, embedder) in self._best.items()})

    def _keep(self, ranking: str, embedder: PairEmbedder, reached: float) -> bool:
        if ranking in self._best and reached <= self._best[ranking][0]:
            return False
        self._best[ranking] = (reached, embedder)
        return True


def best_on_validation(
    candidates: Iterable[Embedder], train: PairedFeatures, val: PairedFeatures, config: Config
) -> Choice:
    """The candidates of highest validation MAP."""
    selection = Selection(train, val, config)
    for embedder in candidates:
        selection.offer(embedder)
    return selection.choice
