"""The waveform of a clip, decoded by PyAV.

Never by decord, whose 0.6.0 interleaves the channels of stereo sound wrongly and loses samples at
every block when it resamples (correlation with the true signal .01 and .97; see the tests).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from av import AudioFrame, VideoFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from torchaudio.transforms import Resample

from preprocessing.errors import ClipError
from preprocessing.media.damage import Losses, require_little
from preprocessing.media.packets import AUDIO_PREROLL, Packets, entry
from preprocessing.media.sampling import MAX_SECONDS
from preprocessing.media.types import MIN_SAMPLES, SAMPLE_RATE

KAISER_BEST: dict[str, Any] = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "beta": 14.769656459379492,
}
"""resampy's filter ``kaiser_best``, which the original VGGish resamples with: level to 7.2 kHz and
−118 dB from 8 kHz on. torchaudio's default filter loses 1.8 dB at 7 kHz and lets through what lies
above 8 kHz."""

NOTED_PAUSE = 0.1
"""Seconds of gaps in the time stamps of sound from which on they are noted."""

Samples = NDArray[np.float32]

INAUDIBLE = 2.0**-15
"""Lower peaks count as silence: one quantization step of 16-bit audio."""

MAX_AMPLITUDE = 2.0**16
"""Larger samples are no sound: floats may hold anything, and some files do (full scale is 1)."""

CANCELLED = 0.01
"""Channels cancel out where their sum has less than this share of the energy that it would have if
they had nothing in common."""

STAMP_TOLERANCE = 0.01
"""Seconds by which time stamps may deviate from the sample count, since containers round them; only
more than this is a gap or an overlap."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The waveform of a clip.

    Attributes:
        waveform: (S,) float32 at 16 kHz.
        lost: share of it that was replaced by silence.
        notes: repairs, in words for the user.
    """

    waveform: NDArray[np.float32]
    lost: float
    notes: tuple[str, ...] = ()


def read_sound(
    stream: AudioStream, packets: Packets, origin: float | None, seconds: float, path: Path
) -> Sound:
    """Decode the sound of a clip; what cannot be decoded is silence.

    Args:
        stream: of the open container.
        packets: of the stream.
        origin: time stamp of the clip's first sample, seconds; None for the first there is.
        seconds: the clip's length.
        path: the file, to be named in errors.

    Raises:
        ClipError: ``corrupt`` where too much is lost; and as for :func:`usable_waveform`.
    """
    first = 0 if origin is None else entry(packets, origin - AUDIO_PREROLL)

    def read(mixer: _Mixer) -> tuple[_Joined, Losses]:
        losses = Losses()
        frames = losses.decode(stream, packets[first:])
        return _join(frames, origin, seconds, losses, mixer), losses

    mixer = _Mixer()
    joined, losses = read(mixer)
    channel = mixer.remaining_channel()
    if channel is not None:
        stream.codec_context.flush_buffers()
        joined, losses = read(_Mixer(channel))
    waveform = _resampled(joined, origin)
    lost = losses.share_of(len(waveform) / SAMPLE_RATE)
    require_little(lost, "sound", losses.reason, path)
    notes = [] if channel is None else [f"its channels cancel out; channel {channel + 1} is used"]
    pauses = joined.gaps - losses.seconds  # what is lost leaves gaps too
    if pauses >= NOTED_PAUSE:
        notes.append(f"its sound pauses for {pauses:.1f} s by its time stamps, which are silent")
    return Sound(usable_waveform(waveform, seconds, path), lost, tuple(notes))


def _resampled(joined: "_Joined", origin: float | None) -> NDArray[np.float32]:
    """Decoded audio as (S,) float32 at 16 kHz, from a time on the video's clock on.

    Zeros precede a first sample that is later than the origin; what precedes that is cut off.
    """
    resample = _resampler(joined.rate)
    waveform: NDArray[np.float32] = resample(torch.from_numpy(joined.samples)).numpy()
    shift = 0 if origin is None else round((joined.start - origin) * SAMPLE_RATE)
    return np.pad(waveform, (shift, 0)) if shift > 0 else waveform[-shift:]


def usable_waveform(
    waveform: NDArray[np.float32], seconds: float, path: Path
) -> NDArray[np.float32]:
    """The waveform trimmed to the clip's length, if it is long enough and not silent.

    Raises:
        ClipError: ``too_short`` for one row of features, or ``no_audio`` where it is silent.
    """
    part = waveform[: round(seconds * SAMPLE_RATE)]
    if len(part) < MIN_SAMPLES:
        raise ClipError(
            "too_short",
            f"{path}: {len(part) / SAMPLE_RATE:.2f} s of sound; "
            f"{MIN_SAMPLES / SAMPLE_RATE} s are needed",
        )
    if np.abs(part).max() < INAUDIBLE:
        raise ClipError("no_audio", f"{path}: the sound track is silent throughout")
    return np.ascontiguousarray(part)


@dataclass(frozen=True, slots=True)
class _Joined:
    """Decoded sound.

    Attributes:
        samples: (S,) float32, one channel.
        rate: samples per second.
        start: time stamp of the first, seconds.
        gaps: seconds without sound between them, which are zeros.
    """

    samples: NDArray[np.float32]
    rate: int
    start: float
    gaps: float


def _join(
    frames: Iterable[AudioFrame | VideoFrame],
    origin: float | None,
    seconds: float,
    losses: Losses,
    mixer: "_Mixer",
) -> _Joined:
    """Samples placed by their time stamps; channels are averaged (FFmpeg's mix is √2 louder).

    Args:
        frames: decoded audio, in order; consumed no further than needed.
        origin: time stamp of the first sample, seconds; None for the first there is.
        seconds: length wanted; the result may be shorter, or a little longer.
        losses: counts samples that are no numbers, which become zeros.
        mixer: makes one channel of several.

    Raises:
        av.FFmpegError: the sample rate changes.
    """
    blocks: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    start, rate, samples, wanted, gaps = 0.0, 0, 0, 0, 0
    for frame in frames:
        if not isinstance(frame, AudioFrame):
            continue
        if not rate:
            start, rate = frame.time or 0.0, frame.sample_rate
            wanted = round(((start if origin is None else origin) + seconds - start) * rate)
        if frame.sample_rate != rate:
            raise av.InvalidDataError(0, f"sound of {rate} Hz goes on at {frame.sample_rate} Hz")
        block = _numbers(mixer.mono(frame), rate, losses)
        late = 0 if frame.time is None else round((frame.time - start) * rate) - samples
        if late > STAMP_TOLERANCE * rate:
            # Time stamps may be anything.
            gap = min(late, max(wanted, 0), round(MAX_SECONDS * rate))
            blocks.append(np.zeros(gap, np.float32))
            samples += len(blocks[-1])
            gaps += gap
        elif late < -STAMP_TOLERANCE * rate:
            block = block[-late:]
        blocks.append(block)
        samples += len(blocks[-1])
        if samples > wanted + rate:  # and a second of look-ahead for the resampler
            break
    rate = rate or SAMPLE_RATE
    return _Joined(np.concatenate(blocks), rate, start, gaps / rate)


def _numbers(block: NDArray[np.float32], rate: int, losses: Losses) -> NDArray[np.float32]:
    """The samples, 0 for those that are none: NaN, infinite or absurdly large."""
    bad = ~(np.abs(block) <= MAX_AMPLITUDE)
    if bad.any():
        losses.add(int(bad.sum()) / rate, "samples that are no numbers")
        block = np.where(bad, np.float32(0), block)
    return block


@lru_cache(maxsize=8)
def _resampler(rate: int) -> Resample:
    """Resamples to 16 kHz; cached, as its filter takes as long to compute as to apply."""
    return Resample(rate, SAMPLE_RATE, **KAISER_BEST)


@dataclass(slots=True)
class _Mixer:
    """Makes one channel of several: their mean, or one of them.

    Attributes:
        channel: which to take; None averages.
        converters: to packed floats, one per sample format.
        energy: (C,) of each channel so far, where there are several.
        mean_energy: of their mean.
    """

    channel: int | None = None
    converters: dict[tuple[str, str], av.AudioResampler] = field(default_factory=dict)
    energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    mean_energy: float = 0.0

    def mono(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Samples (S,) of a frame."""
        kind = frame.format.name, frame.layout.name
        # Packed, not planar: PyAV reads planes beyond the eighth out of bounds, and crashes.
        to_float = self.converters.setdefault(kind, av.AudioResampler(format="flt"))
        parts = [
            self._mix(cast(Samples, part.to_ndarray()).reshape(-1, part.layout.nb_channels))
            for part in to_float.resample(frame)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _mix(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(S, C) → (S,)"""
        channels = samples.shape[1]
        if self.channel is not None and self.channel < channels:
            return samples[:, self.channel]
        mean: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
        if channels > 1:
            if len(self.energy) != channels:
                self.energy, self.mean_energy = np.zeros(channels), 0.0
            self.energy += np.einsum("sc,sc->c", samples, samples)
            self.mean_energy += float(mean @ mean)
        return mean

    def remaining_channel(self) -> int | None:
        """The loudest channel where their mean cancels out, else None."""
        if self.mean_energy * len(self.energy) ** 2 < CANCELLED * self.energy.sum():
            return int(self.energy.argmax())
        return None
