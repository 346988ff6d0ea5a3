"""The rival methods, one file each; ``method`` defines what a method is."""

from avcmr.comparison.baselines.method import (
    Choice,
    Classifier,
    Embedder,
    Fit,
    Method,
    PairEmbedder,
)

__all__ = ["Choice", "Classifier", "Embedder", "Fit", "Method", "PairEmbedder"]
