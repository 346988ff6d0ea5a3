"""Embedding clips into a collection, and searching it."""

from avcmr.retrieval.collection import Collection
from avcmr.retrieval.index import load_index
from avcmr.retrieval.retriever import Hit, Retriever

__all__ = ["Collection", "Hit", "Retriever", "load_index"]
