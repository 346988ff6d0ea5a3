"""Turning and mirroring frames as the container's display matrix says."""

from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from av import VideoFrame
from av.sidedata.sidedata import Type

from preprocessing.media.types import Frames


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to see a picture: transposed first, then mirrored.

    Attributes:
        transposed: rows and columns change places.
        upside_down: the first row becomes the last.
        left_right: the first column becomes the last.
    """

    transposed: bool = False
    upside_down: bool = False
    left_right: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """The nearest to a decoded frame's display matrix."""
        matrix = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
        if matrix is None:
            return cls()
        # A pixel (x, y) is shown at (a·x + c·y, b·x + d·y), but for a shift.
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, upside_down=d < 0, left_right=a < 0)
        return cls(True, upside_down=b < 0, left_right=c < 0)

    def apply(self, frames: Frames) -> Frames:
        """Frames (…, H, W, 3) as they are to be seen."""
        if self.transposed:
            frames = frames.swapaxes(-3, -2)
        axes = [axis for axis, on in ((-3, self.upside_down), (-2, self.left_right)) if on]
        return _flip(frames, axes)

    def add_mirroring(self, frames: Frames) -> Frames:
        """As :meth:`apply`, to frames that a library has turned by the matrix's angle already."""
        mirrored = self.transposed ^ self.upside_down ^ self.left_right
        return _flip(frames, [-2 if self.transposed else -3]) if mirrored else frames


def _flip(frames: Frames, axes: list[int]) -> Frames:
    if not axes:
        return frames
    if isinstance(frames, torch.Tensor):
        return torch.flip(frames, axes)
    return np.flip(frames, tuple(axes))
