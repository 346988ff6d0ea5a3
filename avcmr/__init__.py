"""Features become embeddings, and embeddings answers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avcmr.retriever import Hit, Retriever

__all__ = ["Hit", "Retriever"]


def __getattr__(name: str) -> Any:
    # When first asked for, as torch takes seconds to import.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from avcmr import retriever

    return getattr(retriever, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
