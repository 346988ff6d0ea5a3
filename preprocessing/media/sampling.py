"""How clips are sampled, and the interface of all decoders."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.types import Media

MAX_SECONDS = 1800.0
"""Limit on the length of a clip, so that one ten-hour file cannot exhaust memory."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a clip is sampled.

    Attributes:
        frames_per_second: frames kept per second of video.
        frame_size: height and width of the kept frames in pixels (Inception-v3 wants 299);
            None keeps the clip's own size.
        key_frames: take the key frame nearest to each sampled time instead of the frame shown then:
            far less is decoded, but frames may be seconds off (``benchmarks/key_frames.py``).
        max_seconds: longer clips are refused.
    """

    frames_per_second: float = 1.0
    frame_size: int | None = 299
    key_frames: bool = False
    max_seconds: float = MAX_SECONDS


class Decoder(Protocol):
    """Decodes media files; one instance decodes many clips, one at a time."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """Decode one clip.

        Raises:
            ClipError: with the reason why the clip cannot be used.
        """
        ...


def frame_times(duration: float, frames_per_second: float) -> NDArray[np.float64]:
    """Sampled times in seconds: the middle of each interval of 1/frames_per_second.

    A clip shorter than half an interval gives one frame, from its own middle. The last, incomplete
    interval counts if its middle lies within the clip: 10.03 s at one frame a second
    give 0.5, 1.5, … 9.5.
    """
    count = math.floor(duration * frames_per_second + 0.5)
    if count == 0:
        return np.array([duration / 2])
    return (np.arange(count, dtype=np.float64) + 0.5) / frames_per_second


def shown_at(starts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frame that a player shows at each time: the last that has started.

    Args:
        starts: (N,) increasing start times of frames, seconds.
        times: (T,) seconds.

    Returns:
        (T,) indices of frames; the first one for times before it.
    """
    # A microsecond of tolerance: floats of rational time stamps may fall just short.
    return np.maximum(np.searchsorted(starts, times + 1e-6, side="right") - 1, 0)


def nearest(starts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices (T,) of those of (N,) increasing ``starts`` nearest to (T,) ``times``, seconds."""
    between = (starts[1:] + starts[:-1]) / 2
    return np.searchsorted(between, times)


def cut(clip: Clip, duration: float) -> tuple[float, float]:
    """Start and end of the clip in a file of this duration, seconds.

    Raises:
        ClipError: ``too_short`` where the cut starts at or beyond the end of the file.
    """
    start = clip.start or 0.0
    end = duration if clip.end is None else min(clip.end, duration)
    if end <= start:
        raise ClipError(
            "too_short", f"{clip.path}: the cut starts at {start:g} s, the file ends at {end:.2f} s"
        )
    return start, end
