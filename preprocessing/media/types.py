"""Decoded clips, their features, and the source file of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.media.damage import UNDAMAGED, Damage

Frames = NDArray[np.uint8] | Tensor
"""Frames (T, H, W, 3) uint8: an array, or a tensor on the GPU that decoded them."""

SAMPLE_RATE = 16_000
"""Samples per second of every waveform in avcmr (VGGish's input rate)."""

MIN_SAMPLES = 15_600
"""Minimum length of a waveform: the samples that VGGish reads for one row of features."""


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a clip, at the time it was read.

    Attributes:
        size: bytes.
        mtime: modification time, nanoseconds since the epoch (exact, unlike float seconds).
        codec: name of the video codec, such as ``h264``.
        fps: average frames per second of the video stream.
    """

    size: int
    mtime: int
    codec: str = ""
    fps: float = 0.0


@dataclass(frozen=True, slots=True)
class Media:
    """One decoded clip; frames and waveform share one timeline that starts at 0.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, upright (the container's display matrix is applied); on
            the GPU that decoded them, if any.
        frame_times: (T,) float64, sampled time of each frame, seconds.
        waveform: (S,) float32 mono at 16,000 Hz, in [-1, 1].
        duration: of the video, seconds.
        source: the file.
        damage: what was replaced in it.
    """

    frames: Frames
    frame_times: NDArray[np.float64]
    waveform: NDArray[np.float32]
    duration: float
    source: Source
    damage: Damage = UNDAMAGED

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.frames.shape), str(self.frames.dtype).removeprefix("torch.")
        if len(shape) != 4 or shape[-1] != 3 or dtype != "uint8":
            raise ValueError(f"frames must be (T, H, W, 3) uint8, not {shape} {dtype}")
        if self.frame_times.shape != shape[:1]:
            raise ValueError(f"{len(self.frames)} frames but {self.frame_times.shape} frame times")
        if self.waveform.ndim != 1 or self.waveform.dtype != np.float32:
            raise ValueError(
                f"waveform must be (S,) float32, not {self.waveform.shape} {self.waveform.dtype}"
            )

    def __repr__(self) -> str:
        return (
            f"Media(frames={tuple(self.frames.shape)}, waveform={self.waveform.shape}, "
            f"duration={self.duration:.2f} s, source={self.source})"
        )


@dataclass(frozen=True, slots=True)
class ClipFeatures:
    """The features of one clip: a row per sampled frame, and a row per 0.96 s of audio.

    Attributes:
        visual: (T, D) float32, Inception-v3 pool3 (D = 2048).
        visual_times: (T,) float64, the middle of each row's interval, seconds.
        audio: (S, 128) float32, VGGish.
        audio_times: (S,) float64, likewise.
        duration: of the video, seconds.
        source: the file.
        damage: what was replaced in the clip.
    """

    visual: NDArray[np.float32]
    visual_times: NDArray[np.float64]
    audio: NDArray[np.float32]
    audio_times: NDArray[np.float64]
    duration: float
    source: Source
    damage: Damage = UNDAMAGED

    def __post_init__(self) -> None:
        for name, rows, times in (
            ("visual", self.visual, self.visual_times),
            ("audio", self.audio, self.audio_times),
        ):
            if rows.ndim != 2 or len(rows) == 0 or rows.dtype != np.float32:
                raise ValueError(
                    f"{name} must be (rows ≥ 1, D) float32, not {rows.shape} {rows.dtype}"
                )
            if times.shape != rows.shape[:1]:
                raise ValueError(f"{len(rows)} {name} rows but {times.shape} times")

    def __repr__(self) -> str:
        return f"ClipFeatures(visual={self.visual.shape}, audio={self.audio.shape})"
