"""Features of several clips, flat: concatenated rows, and offsets where each clip begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.media.types import ClipFeatures

LARGEST = 1e12
"""Sums of the squares of larger values overflow float32; no network outputs them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one stream (visual or audio) of N clips.

    Attributes:
        values: (ΣT, D) float32.
        times: (ΣT,) float64, seconds.
        offsets: (N + 1,) int64; clip i has the rows ``offsets[i]:offsets[i + 1]``, at least one.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64]
    offsets: NDArray[np.int64]

    @classmethod
    def join(
        cls, values: Sequence[NDArray[np.float32]], times: Sequence[NDArray[np.float64]]
    ) -> Self:
        """Concatenate clips, each (T, D) with its (T,) times; at least one clip."""
        offsets = row_offsets([len(rows) for rows in values])
        return cls(np.concatenate(values), np.concatenate(times), offsets)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.offsets) - 1

    def clip(self, index: int) -> Self:
        """The rows of one clip."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        offsets = np.array([0, span.stop - span.start], dtype=np.int64)
        return type(self)(self.values[span], self.times[span], offsets)

    def take(self, clips: Sequence[int]) -> Self:
        """The rows of some clips; at least one."""
        taken = [self.clip(index) for index in clips]
        return self.join([rows.values for rows in taken], [rows.times for rows in taken])

    def means(self) -> NDArray[np.float32]:
        """Mean row of each clip, (N, D) float32, summed in float64."""
        if len(self) == len(self.values):  # one row each
            return self.values
        # A loop, as np.add.reduceat takes ten times as long.
        spans = zip(self.offsets[:-1], self.offsets[1:], strict=True)
        with np.errstate(invalid="ignore"):  # of infinities, NaN
            means = [self.values[a:b].mean(axis=0, dtype=np.float64) for a, b in spans]
        return np.stack(means).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Block:
    """Both streams of the same N clips."""

    visual: Rows
    audio: Rows

    @classmethod
    def join(cls, clips: Sequence[ClipFeatures]) -> Self:
        """Concatenate clips; at least one."""
        return cls(
            Rows.join([clip.visual for clip in clips], [clip.visual_times for clip in clips]),
            Rows.join([clip.audio for clip in clips], [clip.audio_times for clip in clips]),
        )


def usable(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each row (N, D) is free of NaN, infinity and values that overflow in training."""
    fits: NDArray[np.bool_] = np.logical_and.reduce(np.abs(values) <= LARGEST, axis=1)
    return fits  # False for NaN


def row_offsets(counts: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of rows (N) → where each clip begins, and the end of the last: (N + 1,) int64."""
    return np.cumsum([0, *counts], dtype=np.int64)
