"""Decoded clips become features: log-mel, Inception-v3 and VGGish with their weights."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from preprocessing.networks.extractor import FeatureExtractor, Networks, Precision

__all__ = ["FeatureExtractor", "Networks", "Precision"]

# Imported when first asked for: processes that only decode have no need of torchvision.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"extractor": ["FeatureExtractor", "Networks", "Precision"]}
)
