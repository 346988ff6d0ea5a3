"""Training history: one record per epoch, and when the stage switched or the space collapsed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from avcmr.metrics.collapse import COLLAPSED_BELOW
from avcmr.training.curriculum import Verdict
from avcmr.training.validation import Validation


class Measured(TypedDict):
    """Means over an epoch's batches."""

    loss: float
    triplets: float
    active_triplets: float
    """Share of triplets with a loss, 0 to 1."""


class EpochRecord(Measured, Validation):
    """One line of ``metrics.jsonl``."""

    epoch: int
    stage: int
    best: float
    verdict: Verdict
    seconds: float


History = Sequence[Mapping[str, Any]]
"""The lines of ``metrics.jsonl``, one per epoch; values may be missing or None."""


def switch_of(history: History) -> int | None:
    """The first epoch of stage 2; None where one of the stages is missing."""
    if not history or history[0].get("stage") == 2:
        return None
    return next((line["epoch"] for line in history if line.get("stage") == 2), None)


def collapse_of(history: History) -> int | None:
    """The first epoch in which the embedding space had collapsed; None if it never had."""
    spreads = ((line["epoch"], line.get("distance_spread")) for line in history)
    return next(
        (epoch for epoch, spread in spreads if spread is not None and spread < COLLAPSED_BELOW),
        None,
    )
