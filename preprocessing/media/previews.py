"""What a clip looks and sounds like at a glance: one picture, and the outline of its sound."""

import io

import numpy as np
from PIL import Image

from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import ClipError
from preprocessing.media import Sampling, decode_pictures, decode_sound
from preprocessing.media.attempt import attempt_clip
from preprocessing.remote import Fetched

PEAKS = 160
"""Points of an outline."""


def thumbnail(clip: Clip, size: int) -> bytes:
    """The frame in the middle of a clip, as JPEG whose longer side has ``size`` pixels.

    Raises:
        ClipError: there is no file, it is gone or cannot be used.
    """
    _require_file(clip)
    # One frame alone; of a cut the nearest key frame, as what precedes a cut can be long.
    sampling = Sampling(1e-9, frame_size=None, key_frames=clip.start is not None)
    with Fetched([clip.path]) as fetched:
        frames = attempt_clip(clip, lambda here: decode_pictures(here, sampling), fetched)
    if isinstance(frames, ClipError):
        raise frames
    image, file = Image.fromarray(frames[0]), io.BytesIO()
    image.thumbnail((size, size))
    image.save(file, "JPEG", quality=82)
    return file.getvalue()


def outline(clip: Clip) -> tuple[float, ...]:
    """The loudest of each of ``PEAKS`` equal parts of a clip's sound, relative to the loudest.

    Raises:
        ClipError: there is no file, it is gone or cannot be used.
    """
    _require_file(clip)
    with Fetched([clip.path]) as fetched:
        waveform = attempt_clip(clip, lambda here: decode_sound(here, Sampling()), fetched)
    if isinstance(waveform, ClipError):
        raise waveform
    peaks = np.array([np.abs(part).max() for part in np.array_split(waveform, PEAKS)])
    return tuple((peaks.astype(np.float64) / peaks.max()).round(3).tolist())


def _require_file(clip: Clip) -> None:
    if clip.path == NO_FILE:
        raise ClipError("missing", f"{clip.id}: there are features of it alone")
