"""The queries of highest and lowest average precision, with their first results."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avcmr.metrics.ranking import average_precisions, cosine_rankings

SHOWN = 3
"""How many of the best queries are shown, and of the worst."""

RESULTS = 5
"""How many results are shown of each query."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query and its first ``RESULTS`` results, best first, as rows of the test clips."""

    query: int
    average_precision: float
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples of one direction; no class occurs twice among the best, nor among the worst."""

    best: tuple[Example, ...]
    worst: tuple[Example, ...]


def examples(query: Tensor, gallery: Tensor, labels: Tensor) -> Examples:
    """(N, D), (N, D), (N,) → the best and the worst queries, most extreme first.

    At most one query is taken from each class, or one easy (or hard) class would fill the list.
    Ties are broken by the earlier row.
    """
    precision = average_precisions(query, gallery, labels, labels)  # (N,)
    best = _one_per_class(precision.argsort(descending=True, stable=True).tolist(), labels)
    rising = [row for row in precision.argsort(stable=True).tolist() if row not in best]
    worst = _one_per_class(rising, labels)
    rows = torch.tensor(best + worst)
    example_of = {
        row: Example(row, float(precision[row]), tuple(order[:RESULTS].tolist()))
        for chunk, ranking in cosine_rankings(query[rows], gallery, labels[rows], labels)
        for row, order in zip(rows[chunk].tolist(), ranking.order, strict=True)
    }
    return Examples(tuple(example_of[row] for row in best), tuple(example_of[row] for row in worst))


def _one_per_class(rows: Sequence[int], labels: Tensor) -> list[int]:
    first_of: dict[int, int] = {}
    for row in rows:
        first_of.setdefault(int(labels[row]), row)
    return list(first_of.values())[:SHOWN]
