"""Features become embeddings, and embeddings answer queries."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from avcmr.retrieval.retriever import Hit, Retriever

__all__ = ["Hit", "Retriever"]

# Imported when first asked for: torch takes seconds.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"retrieval.retriever": ["Hit", "Retriever"]}
)
