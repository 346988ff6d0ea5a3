"""Previews of a clip: a thumbnail and the peaks of its waveform."""

import io

import numpy as np
from PIL import Image

from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import ClipError
from preprocessing.media import Sampling, decode_frames, decode_waveform
from preprocessing.media.outcome import try_clip
from preprocessing.remote import Fetched

PEAKS = 160
"""Points of a waveform preview."""


def thumbnail(clip: Clip, size: int) -> bytes:
    """The frame in the middle of a clip, as JPEG whose longer side has ``size`` pixels.

    Raises:
        ClipError: the clip has no file, or it is missing or cannot be decoded.
    """
    _require_file(clip)
    # A single frame; for a cut the nearest key frame, since decoding up to it can take long.
    sampling = Sampling(1e-9, frame_size=None, key_frames=clip.start is not None)
    with Fetched([clip.path]) as fetched:
        frames = try_clip(clip, lambda local: decode_frames(local, sampling), fetched)
    if isinstance(frames, ClipError):
        raise frames
    image, file = Image.fromarray(frames[0]), io.BytesIO()
    image.thumbnail((size, size))
    image.save(file, "JPEG", quality=82)
    return file.getvalue()


def waveform_peaks(clip: Clip) -> tuple[float, ...]:
    """The peaks of ``PEAKS`` equal parts of a clip's waveform, in [0, 1] (1 is the loudest).

    Raises:
        ClipError: the clip has no file, or it is missing or cannot be decoded.
    """
    _require_file(clip)
    with Fetched([clip.path]) as fetched:
        waveform = try_clip(clip, lambda local: decode_waveform(local, Sampling()), fetched)
    if isinstance(waveform, ClipError):
        raise waveform
    peaks = np.array([np.abs(part).max() for part in np.array_split(waveform, PEAKS)])
    return tuple((peaks.astype(np.float64) / peaks.max()).round(3).tolist())


def _require_file(clip: Clip) -> None:
    if clip.path == NO_FILE:
        raise ClipError("missing", f"{clip.id}: only its features are here, not its file")
