"""What every decoder is asked for, whichever library does the work."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.types import Media

MAX_SECONDS = 1800.0
"""Longer clips are refused, so that one ten-hour file cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a clip is sampled.

    Attributes:
        frames_per_second: frames kept of every second of picture.
        frame_size: height and width of the kept frames in pixels (Inception-v3 wants 299);
            None keeps the clip's own size.
        key_frames: take the key frame nearest to each time, and not the frame shown at it: much
            less is decoded, and the picture may be seconds off (``benchmarks/key_frames.py``).
        max_seconds: longer clips are refused.
    """

    frames_per_second: float = 1.0
    frame_size: int | None = 299
    key_frames: bool = False
    max_seconds: float = MAX_SECONDS


class Decoder(Protocol):
    """Opens media files; one instance serves many clips, one after the other."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """Decode one clip.

        Raises:
            ClipError: with the reason why this clip cannot be used.
        """
        ...


def frame_times(duration: float, frames_per_second: float) -> NDArray[np.float64]:
    """Seconds at which frames are taken: the middle of each 1/frames_per_second of the clip.

    A clip shorter than half such an interval gives one frame, from its own middle. The last,
    unfinished interval counts if its middle still lies in the clip: 10.03 s at one frame a second
    give 0.5, 1.5, … 9.5.
    """
    count = math.floor(duration * frames_per_second + 0.5)
    if count == 0:
        return np.array([duration / 2])
    return (np.arange(count, dtype=np.float64) + 0.5) / frames_per_second


def shown_at(starts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which frame a player shows at each time: the last whose time has come.

    Args:
        starts: (N,) seconds at which the frames of a clip are first shown, rising.
        times: (T,) seconds.

    Returns:
        (T,) indices of frames; before the first frame, that one.
    """
    # A tick of tolerance: time stamps are rational, and their floats may fall just short.
    return np.maximum(np.searchsorted(starts, times + 1e-6, side="right") - 1, 0)


def nearest(starts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of (N,) rising ``starts`` is nearest to each of (T,) ``times``, in seconds: (T,)."""
    between = (starts[1:] + starts[:-1]) / 2
    return np.searchsorted(between, times)


def cut(clip: Clip, duration: float) -> tuple[float, float]:
    """The seconds (start, end) of a file of this duration that belong to the clip.

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
