"""Media files become features, in one process."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing.media.types import ClipFeatures
    from preprocessing.networks.extract_clip import extract_clip

__all__ = ["ClipFeatures", "extract_clip"]


def __getattr__(name: str) -> Any:
    # When first asked for, as torch takes seconds to import.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from preprocessing.networks import extract_clip as direct

    return getattr(direct, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
