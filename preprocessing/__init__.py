"""Media files become features, in one process."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from preprocessing.media.types import ClipFeatures
    from preprocessing.networks.extract_clip import extract_clip

__all__ = ["ClipFeatures", "extract_clip"]

# Imported when first asked for: torch takes seconds.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={"networks.extract_clip": ["extract_clip"], "media.types": ["ClipFeatures"]},
)
