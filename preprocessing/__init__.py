"""Media files become features, in one process."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing.direct import extract_clip
    from preprocessing.media import ClipFeatures

__all__ = ["ClipFeatures", "extract_clip"]


def __getattr__(name: str) -> Any:
    # When first asked for, as torch takes seconds to import.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from preprocessing import direct  # noqa: PLC0415

    return getattr(direct, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
