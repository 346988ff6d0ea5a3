"""The sound of a clip, by PyAV.

Never by decord, whose 0.6.0 interleaves the channels of stereo sound wrongly and loses samples at
every block when it resamples (correlation with the true signal .01 and .97; see the tests).
"""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import torch
from av import AudioFrame
from numpy.typing import NDArray
from torchaudio.functional import resample

from preprocessing.audio import EXAMPLE_SAMPLES
from preprocessing.decode.headers import Headers
from preprocessing.errors import ClipError
from preprocessing.media import SAMPLE_RATE

INAUDIBLE = 2.0**-15
"""Least peak of a waveform that counts as sound: one step of 16-bit audio."""


def read_waveform(
    frames: Iterable[AudioFrame], headers: Headers, max_seconds: float
) -> NDArray[np.float32]:
    """Decoded sound as (S,) float32 at 16 kHz on the picture's clock.

    Channels are averaged (FFmpeg's own down-mix is √2 louder). Where sound starts after the
    picture, the gap is filled with zeros; where before, what precedes the picture is cut off.
    """
    channels, rate, start = _join(frames, max_seconds)
    mono = torch.from_numpy(channels.mean(axis=0, dtype=np.float32))
    waveform: NDArray[np.float32] = resample(mono, rate, SAMPLE_RATE).numpy()
    shift = round((start - headers.picture_start) * SAMPLE_RATE)
    return np.pad(waveform, (shift, 0)) if shift > 0 else waveform[-shift:]


def cut_sound(
    waveform: NDArray[np.float32], start: float, end: float, path: Path
) -> NDArray[np.float32]:
    """The sound of the seconds from ``start`` to ``end``.

    Raises:
        ClipError: ``too_short`` for one row of features or, where nothing can be heard,
            ``no_audio``.
    """
    part = waveform[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    if len(part) < EXAMPLE_SAMPLES:
        raise ClipError(
            "too_short",
            f"{path}: {len(part) / SAMPLE_RATE:.2f} s of sound; "
            f"{EXAMPLE_SAMPLES / SAMPLE_RATE} s are needed",
        )
    if np.abs(part).max() < INAUDIBLE:
        raise ClipError("no_audio", f"{path}: the sound track is silent throughout")
    return np.ascontiguousarray(part)


def _join(
    frames: Iterable[AudioFrame], max_seconds: float
) -> tuple[NDArray[np.float32], int, float]:
    """Samples (channels, S) as they are, their rate, and the time stamp of the first."""
    to_float = av.AudioResampler(format="fltp")  # only the sample format changes
    blocks: list[NDArray[np.float32]] = []
    start, rate, samples = 0.0, SAMPLE_RATE, 0
    for frame in frames:
        if not blocks:
            start, rate = frame.time or 0.0, frame.sample_rate
        for converted in to_float.resample(frame):
            blocks.append(converted.to_ndarray().astype(np.float32, copy=False))
            samples += converted.samples
        if samples > max_seconds * rate:
            break
    if not blocks:
        return np.zeros((1, 0), np.float32), rate, start
    return np.concatenate(blocks, axis=1), rate, start
