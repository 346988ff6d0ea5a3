"""Evaluation of a trained run on its test clips, and reports of it."""

from avcmr.evaluation.embeddings import Embedded, embed_test_split, write_embeddings
from avcmr.evaluation.examples import Example, Examples
from avcmr.evaluation.results import Results, measure

__all__ = [
    "Embedded",
    "Example",
    "Examples",
    "Results",
    "embed_test_split",
    "measure",
    "write_embeddings",
]
