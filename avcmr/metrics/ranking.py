"""Rank a gallery for queries, with ties that do not depend on the order of the items.

Embeddings that collapsed to one point tie with everything, and galleries are often sorted by
class: any fixed order of tied items would make such embeddings look better or worse than they
are. So tied items form one group, precision at any of them counts the whole group (as
scikit-learn's ``average_precision_score`` does), and a cut-off inside a group takes its share of
the group, which is the expectation over all orders of the group.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

# Query-gallery pairs in memory at once, so that 100,000 × 100,000 fits anywhere: about 40 MB for
# full rankings as for sorted keys. More is not faster, and results do not depend on it.
PAIRS_RANKED_AT_ONCE = 2**19
PAIRS_SORTED_AT_ONCE = 2**21

# Embeddings come in float32, whose rounding makes equal ones differ by about 2⁻²³ in cosine.
# On this grid they are equal again, and each of its points is a float32.
_COSINE_STEPS = 2**23


@dataclass(frozen=True, slots=True)
class Ranking:
    """The gallery of G items ranked for Q queries, best first; ranks count from 1.

    Attributes:
        order: (Q, G) int64, gallery index at each rank.
        hits: (Q, G) int64, relevant items up to each rank.
        start: (Q, G) int64, items ranked before the tied group of the one at each rank.
        end: (Q, G) int64, items ranked up to the end of that group.
    """

    order: Tensor
    hits: Tensor
    start: Tensor
    end: Tensor

    @classmethod
    def of(cls, similarity: Tensor, relevant: Tensor) -> "Ranking":
        """(Q, G) similarities and (Q, G) bool → their ranking."""
        scores, order = similarity.sort(dim=1, descending=True)
        queries, items = scores.shape
        differs = scores[:, 1:] != scores[:, :-1]  # (Q, G - 1)
        edge = differs.new_ones(queries, 1)
        first, last = torch.cat([edge, differs], dim=1), torch.cat([differs, edge], dim=1)
        rank = torch.arange(1, items + 1, device=scores.device)
        start = torch.where(first, rank - 1, 0).cummax(1).values
        end = torch.where(last, rank, items).flip(1).cummin(1).values.flip(1)
        return cls(order, relevant.gather(1, order).cumsum(1), start, end)

    @property
    def relevant(self) -> Tensor:
        """(Q,) int64, number of relevant items: R."""
        return self.hits[:, -1]

    def hits_with_ties(self) -> Tensor:
        """(Q, G) int64, relevant items up to the end of each rank's tied group."""
        return self.hits.gather(1, self.end - 1)

    def precision(self) -> Tensor:
        """(Q, G) float64, share of relevant items up to the end of each rank's tied group."""
        return self.hits_with_ties().double() / self.end

    def is_hit(self) -> Tensor:
        """(Q, G) bool, whether the item at each rank is relevant."""
        return self.hits.diff(dim=1, prepend=torch.zeros_like(self.hits[:, :1])) > 0

    def average_precision(self) -> Tensor:
        """(Q,) float64, mean precision at the relevant items; NaN where there are none."""
        return (self.precision() * self.is_hit()).sum(1) / self.relevant

    def prefix_average_precision(self) -> Tensor:
        """(Q,) float64, mean over k = 1 … G of the AP of the k best, 0 for no hit; NaN if none."""
        summed = (self.precision() * self.is_hit()).cumsum(1).gather(1, self.end - 1)
        means = (summed / self.hits_with_ties().clamp(min=1)).mean(1)
        return means.where(self.relevant > 0, torch.nan)

    def hits_within(self, cutoffs: Sequence[int]) -> Tensor:
        """(Q, K) float64, relevant items expected among the k best, for each of K cut-offs ≤ G."""
        at = torch.tensor(cutoffs, dtype=torch.int64, device=self.hits.device)
        start, end = self.start[:, at - 1], self.end[:, at - 1]  # (Q, K)
        before = torch.where(start > 0, self.hits.gather(1, (start - 1).clamp(min=0)), 0)
        within = self.hits.gather(1, end - 1) - before
        return before + within * (at - start).double() / (end - start)

    def interpolated_precision(self, recall_levels: Sequence[float]) -> Tensor:
        """(Q, L) float64, the best precision at each of L recalls or at a higher one."""
        best = self.precision().flip(1).cummax(1).values.flip(1)  # (Q, G)
        levels = torch.tensor(recall_levels, dtype=torch.float64, device=self.hits.device)
        # 0.07 × 100 is 7.000000000000001 and must still ask for 7 hits.
        needed = (levels * self.relevant[:, None] - 1e-9).ceil().long()  # (Q, L)
        return best.gather(1, torch.searchsorted(self.hits, needed))

    def retrieved_shares(self, gallery_labels: Tensor, num_classes: int) -> Tensor:
        """(G,) int64 → (Q, classes) float64: shares of the classes among the R best items."""
        needed = self.relevant[:, None]
        # How much of each item counts among the R best: all, nothing, or its tied group's share.
        weight = ((needed - self.start).double() / (self.end - self.start)).clamp(0, 1)  # (Q, G)
        shares = weight.new_zeros(len(weight), num_classes)
        return shares.scatter_add_(1, gallery_labels[self.order], weight) / needed


def cosine_rankings(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor
) -> Iterator[tuple[slice, Ranking]]:
    """(Q, D), (G, D), (Q,), (G,) → the ranking of each chunk of queries, with its rows.

    Items of the query's label are relevant.
    """
    query, gallery = _unit_vectors(query, gallery, query_labels, gallery_labels)
    for rows in _chunks(len(query), gallery.shape[1], PAIRS_RANKED_AT_ONCE):
        similarity = _on_grid(query[rows], gallery).float() / _COSINE_STEPS  # (C, G)
        yield rows, Ranking.of(similarity, query_labels[rows, None] == gallery_labels)


def average_precisions(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor
) -> Tensor:
    """(Q, D), (G, D), (Q,), (G,) → (Q,) float64: AP of each query; NaN without relevant items.

    The same numbers as :meth:`Ranking.average_precision`, in a third of the time: relevance is
    the last bit of the sorted key, so that no permutation has to be kept and gathered, and all
    work after the sort is done for the relevant items alone.
    """
    query, gallery = _unit_vectors(query, gallery, query_labels, gallery_labels)
    workers = torch.get_num_threads() if query.is_cpu else 1
    precisions: list[Tensor] = []
    with ThreadPoolExecutor(workers) as threads:
        for rows in _chunks(len(query), gallery.shape[1], PAIRS_SORTED_AT_ONCE):
            relevant = query_labels[rows, None] == gallery_labels  # (C, G)
            keys = _on_grid(-query[rows], gallery).int()  # (C, G), best first; 25 bits
            keys = keys.mul_(2).add_(relevant)
            shares = min(workers, len(keys))
            precisions += threads.map(
                _average_precision_of_keys,
                keys.tensor_split(shares),
                relevant.sum(1).tensor_split(shares),
            )
    return torch.cat(precisions)


def _average_precision_of_keys(keys: Tensor, relevant: Tensor) -> Tensor:
    """(C, G) keys, odd where the item is relevant, (C,) numbers of these → (C,) float64.

    On a CPU the keys are sorted in place.
    """
    keys, flat = _sorted_with_hits(keys)
    row = torch.repeat_interleave(relevant)
    rank = flat - row * keys.shape[1] + 1
    place = torch.arange(len(flat), device=flat.device)
    hit = place - (relevant.cumsum(0) - relevant)[row]  # relevant items of the row before this one
    # Tied items share one rank, the last. There a relevant item stands, since its key is greater.
    key = keys.flatten()[flat]
    tied = torch.zeros_like(flat, dtype=torch.bool)
    tied[:-1] = (key[:-1] == key[1:]) & (row[:-1] == row[1:])
    last = place.masked_fill(tied, len(flat)).flip(0).cummin(0).values.flip(0)
    # Summed by row: index_add adds in no fixed order on GPUs, so results would vary.
    precision = key.new_zeros(len(keys), int(relevant.max()), dtype=torch.float64)
    precision[row, hit] = (hit[last] + 1).double() / rank[last]
    return precision.sum(1) / relevant


def _sorted_with_hits(keys: Tensor) -> tuple[Tensor, Tensor]:
    """(C, G) with each row in ascending order, and the (M,) places of odd keys in all of it."""
    if not keys.is_cpu:
        keys = keys.sort(dim=1).values
        return keys, (keys & 1).flatten().nonzero()[:, 0]
    # NumPy vectorises both; torch does not.
    rows = keys.numpy()
    rows.sort(axis=1)
    return keys, torch.from_numpy(np.flatnonzero((rows & 1).astype(bool)))


def _unit_vectors(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Checked query and gallery as float64 of unit length: (Q, D) rows and (D, G) columns."""
    check_embeddings("query", query, query_labels)
    check_embeddings("gallery", gallery, gallery_labels)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query embeddings have {query.shape[1]} dimensions, gallery ones {gallery.shape[1]}"
        )
    rows, columns = query.detach().double(), gallery.detach().double().T.contiguous()
    return normalize(rows, dim=1), normalize(columns, dim=0)


def _chunks(queries: int, items: int, pairs: int) -> Iterator[slice]:
    chunk = max(1, pairs // items)
    for first in range(0, queries, chunk):
        yield slice(first, first + chunk)


def _on_grid(query: Tensor, gallery: Tensor) -> Tensor:
    """(C, D), (D, G) → (C, G) float64 cosines as whole numbers of grid steps."""
    return (query * _COSINE_STEPS @ gallery).round_()


def check_embeddings(name: str, embeddings: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless they are (N, D) and finite with (N,) integer labels."""
    if embeddings.ndim != 2 or 0 in embeddings.shape or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"{name} embeddings must be (N ≥ 1, D ≥ 1) with (N,) labels, "
            f"not {tuple(embeddings.shape)} with {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"{name} labels must be integers, not {labels.dtype}")
    check_finite(f"{name} embeddings", embeddings)


def check_finite(name: str, rows: Tensor) -> None:
    """Raise ValueError if (N, …) rows hold NaN or infinity, with their number and the first."""
    broken = (~rows.isfinite().flatten(1).all(1)).nonzero()[:, 0]
    if len(broken):
        raise ValueError(
            f"{name}: {len(broken)} of {len(rows)} rows hold NaN or infinity, "
            f"the first is row {int(broken[0])}"
        )
