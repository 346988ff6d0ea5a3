"""How well one modality retrieves the other: rankings, MAP, precision and recall, collapse."""

from avcmr.metrics.collapse import COLLAPSED_BELOW, CollapseGauges, collapse_gauges, distance_spread
from avcmr.metrics.metrics import (
    DirectionResult,
    Evaluation,
    evaluate,
    evaluate_retrieval,
    map_both_ways,
    mean_average_precision,
)
from avcmr.metrics.ranking import Ranking, average_precisions, cosine_rankings

__all__ = [
    "COLLAPSED_BELOW",
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
    "map_both_ways",
    "mean_average_precision",
]
