"""Decoded clips become features: log-mel, Inception-v3 and VGGish with their weights."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preprocessing.networks.extractor import FeatureExtractor, Networks, Precision

__all__ = ["FeatureExtractor", "Networks", "Precision"]


def __getattr__(name: str) -> Any:
    # When first asked for: processes that only decode must not wait for torchvision.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from preprocessing.networks import extractor

    return getattr(extractor, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
