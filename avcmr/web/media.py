"""Previews of the clips of a collection, kept in memory."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from avcmr import previews
from avcmr.collection import Collection
from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.remote import MediaPath

Preview = TypeVar("Preview")

THUMBNAIL = 400
"""Longer side of a thumbnail, in pixels."""

KEPT = 2048
"""Clips whose previews are kept in memory; some 15 kB each."""


def nameless(error: ClipError, path: MediaPath) -> ClipError:
    """The same error without the path, which is nobody's business but this machine's."""
    return ClipError(error.reason, error.message.replace(f"{path}: ", ""))


class Previews:
    """Previews of the clips of a collection by row; several threads may ask at once.

    Both raise ClipError where the clip's file is gone or cannot be used.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.thumbnail = lru_cache(KEPT)(self._thumbnail)
        self.peaks = lru_cache(KEPT)(self._peaks)

    def _thumbnail(self, row: int) -> bytes:
        return self._of(row, lambda clip: previews.thumbnail(clip, THUMBNAIL))

    def _peaks(self, row: int) -> tuple[float, ...]:
        return self._of(row, previews.outline)

    def _of(self, row: int, preview: Callable[[Clip], Preview]) -> Preview:
        clip = self._collection.clip(row)
        try:
            return preview(clip)
        except ClipError as error:
            raise nameless(error, clip.path) from None
