"""Retrieval metrics of one modality against the other, and gauges of collapse."""

from avcmr.metrics.collapse import COLLAPSED_BELOW, CollapseGauges, collapse_gauges, distance_spread
from avcmr.metrics.metrics import (
    BothWays,
    DirectionResult,
    Evaluation,
    evaluate,
    evaluate_retrieval,
    expected_chance,
    map_both_ways,
    map_prefix_averaged,
    mean_average_precision,
)
from avcmr.metrics.ranking import Ranking, average_precisions, cosine_rankings

__all__ = [
    "COLLAPSED_BELOW",
    "BothWays",
    "CollapseGauges",
    "DirectionResult",
    "Evaluation",
    "Ranking",
    "average_precisions",
    "collapse_gauges",
    "cosine_rankings",
    "distance_spread",
    "evaluate",
    "evaluate_retrieval",
    "expected_chance",
    "map_both_ways",
    "map_prefix_averaged",
    "mean_average_precision",
]
