"""Audio-visual retrieval: training on extracted features, evaluation, and search."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from avcmr.retrieval.retriever import Hit, Retriever

__all__ = ["Hit", "Retriever"]


def _import_siblings() -> None:
    """Import the packages beside this one before a user's file of such a name hides them."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        for name in ("preprocessing", "raytasks"):
            module = import_module(name)
            if not hasattr(module, "__path__"):
                raise ImportError(
                    f"{module.__file__} hides the package {name} of avcmr; rename that file"
                )
    finally:
        sys.path.pop(0)


_import_siblings()

# Imported when first asked for: torch takes seconds.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"retrieval.retriever": ["Hit", "Retriever"]}
)
