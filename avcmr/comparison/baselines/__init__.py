"""The rivals, one file each, and what a method is (:mod:`~avcmr.comparison.baselines.method`)."""

from avcmr.comparison.baselines.method import (
    Choice,
    Classifier,
    Embedder,
    Fit,
    Method,
    PairEmbedder,
)

__all__ = [
    "Choice",
    "Classifier",
    "Embedder",
    "Fit",
    "Method",
    "PairEmbedder",
]
