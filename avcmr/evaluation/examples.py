"""The queries of a test set that are answered best and worst, with what they find."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avcmr.metrics.ranking import average_precisions, cosine_rankings

SHOWN = 3
"""Queries shown of the best, and of the worst."""

RESULTS = 5
"""Results shown of each."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query and the first that it finds, as rows of the test clips.

    Attributes:
        query: row of the query.
        average_precision: of its whole ranking.
        results: rows of the best ``RESULTS``, best first; fewer where there are fewer clips.
    """

    query: int
    average_precision: float
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Examples:
    """Of one direction; no class comes twice among the best, nor among the worst."""

    best: tuple[Example, ...]
    worst: tuple[Example, ...]


def examples(query: Tensor, gallery: Tensor, labels: Tensor) -> Examples:
    """(N, D), (N, D), (N,) → the best and the worst queries, most extreme first.

    Of the classes one query each is taken: one class that is easy (or hard) would else be all that
    is seen. Of equal queries the earlier row is taken.
    """
    precision = average_precisions(query, gallery, labels, labels)  # (N,)
    best = _one_a_class(precision.argsort(descending=True, stable=True).tolist(), labels)
    rising = [row for row in precision.argsort(stable=True).tolist() if row not in best]
    worst = _one_a_class(rising, labels)
    rows = torch.tensor(best + worst)
    found = {
        row: Example(row, float(precision[row]), tuple(order[:RESULTS].tolist()))
        for chunk, ranking in cosine_rankings(query[rows], gallery, labels[rows], labels)
        for row, order in zip(rows[chunk].tolist(), ranking.order, strict=True)
    }
    return Examples(tuple(found[row] for row in best), tuple(found[row] for row in worst))


def _one_a_class(rows: Sequence[int], labels: Tensor) -> list[int]:
    first_of: dict[int, int] = {}
    for row in rows:
        first_of.setdefault(int(labels[row]), row)
    return list(first_of.values())[:SHOWN]
