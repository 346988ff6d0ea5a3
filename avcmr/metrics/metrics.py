"""How well one modality retrieves the other: MAP, precision and recall at k, confusion.

The protocol is that of audio-visual retrieval: each item of one modality is a query, the gallery
is every test item of the other one (the query's own pair included), items of the query's class
are relevant, and the gallery is ranked in full by cosine similarity. For ties see ``ranking``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avcmr.metrics.ranking import average_precisions, check_embeddings, cosine_rankings

_CUTOFFS = (1, 5, 10, 50, 100)
"""The k of precision@k and recall@k."""

RECALL_LEVELS = tuple(level / 100 for level in range(101))
"""Where the interpolated precision–recall curve is sampled."""

_NO_COMMON_CLASS = "no query has a relevant item: query and gallery share no class"


@dataclass(frozen=True, slots=True)
class DirectionResult:
    """Queries of one modality against a gallery of the other; means are over queries.

    Attributes:
        map: mean average precision.
        chance: the MAP that random rankings have in expectation, see ``chance_level``.
        prevalence: share of the gallery that is relevant: the precision of random rankings.
        per_class_map: MAP over the queries of each class; NaN for a class without any.
        per_class_chance: ``chance`` of each class, likewise.
        precision_at: k → share of the k best that is relevant, for each k up to the gallery size.
        recall_at: k → share of the relevant items that is among the k best, likewise.
        precision_curve: precision at each of ``RECALL_LEVELS``, interpolated: the best precision
            at that recall or a higher one (Manning et al., *Introduction to IR*, 8.4).
        confusion: (classes, classes); row i holds the shares of the classes among the R best of
            the queries of class i, R being the number of their relevant items. So a row sums to 1
            and its diagonal is the class's R-precision; NaN for a class without queries.
        queries: number of queries that the means are taken over.
        unanswerable: queries left out because the gallery has no item of their class.
    """

    map: float
    chance: float
    prevalence: float
    per_class_map: tuple[float, ...]
    per_class_chance: tuple[float, ...]
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    precision_curve: tuple[float, ...]
    confusion: tuple[tuple[float, ...], ...]
    queries: int
    unanswerable: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Both directions of retrieval on the same paired items."""

    audio_to_visual: DirectionResult
    visual_to_audio: DirectionResult
    class_names: tuple[str, ...]

    @property
    def average_map(self) -> float:
        """Mean of the two directions' MAP: the number that is compared."""
        return BothWays(self.audio_to_visual.map, self.visual_to_audio.map).average

    @property
    def chance(self) -> float:
        """What ``average_map`` would be for random rankings."""
        return (self.audio_to_visual.chance + self.visual_to_audio.chance) / 2

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for JSON: NaN becomes None, and keys are strings."""
        fields = {"average_map": self.average_map, "chance": self.chance, **asdict(self)}
        return {key: _plain(value) for key, value in fields.items()}


class BothWays(NamedTuple):
    """MAP of both directions of retrieval."""

    audio_to_visual: float
    visual_to_audio: float

    @property
    def average(self) -> float:
        """Mean of the two: what methods are compared and checkpoints are selected by."""
        return (self.audio_to_visual + self.visual_to_audio) / 2


def evaluate_retrieval(
    query: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    num_classes: int,
    *,
    ks: Sequence[int] = _CUTOFFS,
) -> DirectionResult:
    """(Q, D) and (G, D) embeddings with (Q,) and (G,) integer labels → all metrics.

    Queries whose class is absent from the gallery have no AP: they are left out of every mean and
    counted in ``unanswerable``. ``ks`` beyond the gallery's size are dropped.

    Raises:
        ValueError: shapes, labels or cut-offs do not fit, or no query has a relevant item.
    """
    _check_retrieval(query, gallery, query_labels, gallery_labels, num_classes, ks)
    cutoffs = [k for k in sorted(set(ks)) if k <= len(gallery)]
    chunks: list[tuple[Tensor, Tensor, Tensor]] = []
    retrieved = torch.zeros(num_classes, num_classes, dtype=torch.float64, device=query.device)
    for rows, ranking in cosine_rankings(query, gallery, query_labels, gallery_labels):
        shares = ranking.retrieved_shares(gallery_labels, num_classes)
        retrieved.index_add_(0, query_labels[rows], shares)
        chunks.append(
            (
                ranking.average_precision(),
                ranking.hits_within(cutoffs),
                ranking.interpolated_precision(RECALL_LEVELS),
            )
        )
    precisions, hits, curves = (torch.cat(column) for column in zip(*chunks, strict=True))
    answered = ~precisions.isnan()  # (Q,)
    if not answered.any():
        raise ValueError(_NO_COMMON_CLASS)

    precisions, hits, curves = precisions[answered], hits[answered], curves[answered]
    classes = query_labels[answered]
    queries_of = classes.bincount(minlength=num_classes)  # (classes,)
    relevant = gallery_labels.bincount(minlength=num_classes)  # (classes,)
    chance = chance_level(relevant, len(gallery))
    class_sums = torch.zeros_like(chance).index_add_(0, classes, precisions)
    hits_at = zip(cutoffs, hits.mean(0).tolist(), strict=True)
    recalls = (hits / relevant[classes, None]).mean(0).tolist()
    return DirectionResult(
        map=float(precisions.mean()),
        chance=float(chance[classes].mean()),
        prevalence=float(relevant[classes].double().mean()) / len(gallery),
        per_class_map=tuple((class_sums / queries_of).tolist()),
        per_class_chance=tuple(chance.where(queries_of > 0, torch.nan).tolist()),
        precision_at={k: expected / k for k, expected in hits_at},
        recall_at=dict(zip(cutoffs, recalls, strict=True)),
        precision_curve=tuple(curves.mean(0).tolist()),
        confusion=tuple(map(tuple, (retrieved / queries_of[:, None]).tolist())),
        queries=len(classes),
        unanswerable=len(answered) - len(classes),
    )


def _check_retrieval(
    query: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
) -> None:
    """Raise ValueError unless embeddings, labels and cut-offs fit together."""
    check_embeddings("query", query, query_labels)
    check_embeddings("gallery", gallery, gallery_labels)
    labels = torch.cat([query_labels, gallery_labels])
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must lie in 0 … {num_classes - 1}, not {labels.min()} … {labels.max()}"
        )
    if any(k < 1 for k in ks):
        raise ValueError(f"cut-offs must be at least 1, not {list(ks)}")


def mean_average_precision(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor
) -> float:
    """(Q, D), (G, D), (Q,), (G,) → MAP alone, faster than ``evaluate_retrieval``."""
    return _mean([average_precisions(query, gallery, query_labels, gallery_labels)])


def map_both_ways(audio: Tensor, visual: Tensor, labels: Tensor) -> BothWays:
    """(N, D) audio and (N, D) visual embeddings of the same N clips, (N,) labels → MAP alone."""
    return BothWays(
        mean_average_precision(audio, visual, labels, labels),
        mean_average_precision(visual, audio, labels, labels),
    )


def evaluate(
    audio_embeddings: Tensor, visual_embeddings: Tensor, labels: Tensor, class_names: Sequence[str]
) -> Evaluation:
    """(N, D) audio and visual embeddings of the same N clips, (N,) labels → both directions."""
    check_embeddings("audio", audio_embeddings, labels)
    check_embeddings("visual", visual_embeddings, labels)
    names = tuple(class_names)
    pairs = (audio_embeddings, visual_embeddings), (visual_embeddings, audio_embeddings)
    forth, back = (evaluate_retrieval(*pair, labels, labels, len(names)) for pair in pairs)
    return Evaluation(audio_to_visual=forth, visual_to_audio=back, class_names=names)


def chance_level(relevant: Tensor, items: int) -> Tensor:
    """(...,) numbers R of relevant items among ``items`` = N → float64 E[AP] of a random ranking.

    The item at rank k is relevant with probability R/N, and then each of the k − 1 before it with
    (R − 1)/(N − 1), so precision at k is expected to be (1 + (k − 1)(R − 1)/(N − 1))/k there.
    Summed over k and divided by R:

        E[AP] = (1/N) Σₖ [1/k + (R − 1)/(N − 1) · (1 − 1/k)]
              = (H_N + (R − 1)/(N − 1) · (N − H_N)) / N,   H_N = 1 + 1/2 + … + 1/N.

    It exceeds R/N, noticeably so for small N. NaN where R = 0.
    """
    harmonic = float((1 / torch.arange(1, items + 1, dtype=torch.float64)).sum())
    others = (relevant.double() - 1) / max(items - 1, 1)
    expected = (harmonic + others * (items - harmonic)) / items
    return expected.where(relevant > 0, torch.nan)


def expected_chance(labels: Tensor) -> float:
    """(N,) labels of the test clips → the MAP that random rankings have in expectation."""
    _, sizes = labels.unique(return_counts=True)
    return float((chance_level(sizes, len(labels)) * sizes).sum() / len(labels))


def map_prefix_averaged(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor
) -> float:
    """A number that is **not** MAP: AP averaged over every prefix length of the ranking.

    For each k = 1 … G, AP is taken over the k best items as if they were the whole gallery (the
    divisor is the number of hits among them, and it is 0 without a hit), and then averaged over k
    and over queries. The easy top of the ranking thus enters every term, which inflates the result
    (0.84 → 0.86 and 0.39 → 0.43 on the same embeddings). Some published scripts report this as
    MAP; use it only to compare with their numbers.
    """
    rankings = cosine_rankings(query, gallery, query_labels, gallery_labels)
    return _mean([ranking.prefix_average_precision() for _, ranking in rankings])


def _mean(measured: Sequence[Tensor]) -> float:
    """Mean over queries of a measure that is NaN for those that are unanswerable."""
    mean = float(torch.cat(list(measured)).nanmean())
    if isnan(mean):
        raise ValueError(_NO_COMMON_CLASS)
    return mean


def _plain(value: Any) -> Any:
    """``value`` in terms of dict, list, str, int, float and None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and isnan(value) else value
