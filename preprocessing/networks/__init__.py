"""The networks that turn decoded clips into features, their inputs, and their weights."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from preprocessing.networks.extractor import FeatureExtractor, Networks, Precision

__all__ = ["FeatureExtractor", "Networks", "Precision"]

# Imported on first use: processes that only decode do not need torchvision.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__, submod_attrs={"extractor": ["FeatureExtractor", "Networks", "Precision"]}
)
