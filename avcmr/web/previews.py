"""What a clip looks and sounds like at a glance: one picture, and the outline of its sound."""

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from avcmr.collection import NO_FILE, Collection
from preprocessing.clips import Clip
from preprocessing.decode import Sampling, decode_pictures, decode_sound
from preprocessing.decode.attempt import attempt
from preprocessing.errors import ClipError

THUMBNAIL = 400
"""Longer side of a thumbnail, in pixels."""

PEAKS = 160
"""Points of an outline."""

KEPT = 2048
"""Clips whose previews are kept in memory; some 15 kB each."""


def nameless(error: ClipError, path: Path) -> ClipError:
    """The same error without the path, which is nobody's business but this machine's."""
    return ClipError(error.reason, error.message.replace(f"{path}: ", ""))


class Previews:
    """Previews of the clips of a collection; several threads may ask at once."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.thumbnail = lru_cache(KEPT)(self._thumbnail)
        self.peaks = lru_cache(KEPT)(self._peaks)

    def _thumbnail(self, row: int) -> bytes:
        """The frame in the middle of a clip, as JPEG.

        Raises:
            ClipError: the file is gone or cannot be used.
        """
        clip = self._clip(row)
        # One frame alone; of a cut the nearest key frame, as what precedes a cut can be long.
        sampling = Sampling(1e-9, frame_size=None, key_frames=clip.start is not None)
        frames = attempt(clip.path, lambda: decode_pictures(clip, sampling))
        if isinstance(frames, ClipError):
            raise nameless(frames, clip.path)
        image, file = Image.fromarray(frames[0]), io.BytesIO()
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(file, "JPEG", quality=82)
        return file.getvalue()

    def _peaks(self, row: int) -> tuple[float, ...]:
        """The loudest of each of ``PEAKS`` equal parts of a clip's sound, relative to the loudest.

        Raises:
            ClipError: the file is gone or cannot be used.
        """
        clip = self._clip(row)
        waveform = attempt(clip.path, lambda: decode_sound(clip, Sampling()))
        if isinstance(waveform, ClipError):
            raise nameless(waveform, clip.path)
        peaks = np.array([np.abs(part).max() for part in np.array_split(waveform, PEAKS)])
        return tuple((peaks.astype(np.float64) / peaks.max()).round(3).tolist())

    def _clip(self, row: int) -> Clip:
        collection = self._collection
        if collection.paths[row] == NO_FILE:
            raise ClipError("missing", f"{collection.ids[row]}: there are features of it alone")
        start, end = float(collection.starts[row]), float(collection.ends[row])
        return Clip(
            id=collection.ids[row],
            path=collection.paths[row],
            label=collection.labels[row],
            start=None if np.isnan(start) else start,
            end=None if np.isnan(end) else end,
        )
