"""Encoding frames and a waveform into a media file."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import AudioStream, Packet, VideoStream
from av.container import OutputContainer
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

FINE_TICKS = 90_000
"""Ticks per second for variable frame rates, as in MPEG transport streams."""

FAST_OPTIONS: Mapping[str, Mapping[str, str]] = {
    # Macroblock trees read uninitialized memory: equal frames would give different bytes.
    "libx264": {"preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "aac": {"aac_coder": "fast"},
}
"""Encoder options: synthetic clips are small and many, so speed matters more than size."""


def default_video_codec() -> str:
    """H.264 where this PyAV can write it, else MPEG-4 part 2, which every FFmpeg has."""
    return "libx264" if "libx264" in av.codec.codecs_available else "mpeg4"


def write_clip(
    path: Path,
    frames: Iterable[Frame] | None,
    fps: Fraction | int,
    waveform: NDArray[np.float32] | None,
    sample_rate: int = 44_100,
    *,
    video_codec: str | None = None,
    audio_codec: str = "aac",
    frame_times: Sequence[float] | None = None,
    rotation: int = 0,
    display_matrix: Sequence[int] | None = None,
) -> None:
    """Writes a media file; its container follows from the suffix of ``path``.

    The file appears under its name only once complete: it is written to a temporary file (leading
    dot, suffix ``.part``) and renamed.

    Args:
        path: where to; its folder must exist, and a file there is replaced.
        frames: (H, W, 3) uint8 RGB each, H and W even; None writes no video.
        fps: frames per second, the nominal ones where ``frame_times`` is given.
        waveform: (C, S) float32 in [-1, 1], one or two channels; None writes no audio.
        sample_rate: samples per second of ``waveform``, and of the file.
        video_codec: name of an FFmpeg encoder; None takes :func:`default_video_codec`.
        audio_codec: name of an FFmpeg encoder.
        frame_times: increasing presentation times of the frames, seconds: a variable frame rate.
        rotation: degrees counter-clockwise by which players turn the frames
            (needs a recent PyAV, such as 18).
        display_matrix: nine 16.16 (last column: 2.30) fixed-point numbers instead of ``rotation``.
    """
    if frames is None and waveform is None:
        raise ValueError("a clip needs frames, a waveform, or both")
    if waveform is not None and (waveform.ndim != 2 or waveform.shape[0] not in {1, 2}):
        raise ValueError(f"waveform must be (1 or 2 channels, S), not {waveform.shape}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # The temporary name has no suffix that FFmpeg knows, so the container is named.
        with av.open(str(temporary), "w", format=_container(path)) as output:
            # All streams must be added before the first packet is written.
            packets: list[Iterator[Packet[Any]]] = []
            if frames is not None:
                first, frames = _peek(frames)
                codec = video_codec or default_video_codec()
                video = _add_video(output, codec, Fraction(fps), first.shape[:2], rotation)
                if display_matrix is not None:
                    video.set_display_matrix(display_matrix)
                packets.append(_encode_video(video, frames, Fraction(fps), frame_times))
            if waveform is not None:
                audio = _add_audio(output, audio_codec, sample_rate, len(waveform))
                packets.append(_encode_audio(audio, waveform, sample_rate))
            for packet in chain(*packets):
                output.mux(packet)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _container(path: Path) -> str:
    """FFmpeg's name of the container for a suffix."""
    suffix = path.suffix.lower().removeprefix(".")
    return {"mkv": "matroska", "mpg": "mpeg", "ts": "mpegts"}.get(suffix, suffix)


def _peek(frames: Iterable[Frame]) -> tuple[Frame, Iterable[Frame]]:
    """The first frame, and an iterable of all frames including it."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise ValueError("frames are empty; pass None for a file without video")
    return first, chain([first], iterator)


def _add_video(
    output: OutputContainer, codec: str, fps: Fraction, size: tuple[int, ...], rotation: int
) -> VideoStream:
    height, width = size
    if height % 2 or width % 2:
        raise ValueError(f"frames must have even sides, not {width} × {height}")
    stream = output.add_stream(codec, rate=fps, options=dict(FAST_OPTIONS.get(codec, {})))
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{codec!r} encodes no video")
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    if rotation:
        stream.set_display_rotation(rotation)
    return stream


def _encode_video(
    stream: VideoStream,
    frames: Iterable[Frame],
    fps: Fraction,
    frame_times: Sequence[float] | None,
) -> Iterator["Packet[Any]"]:
    tick = 1 / fps if frame_times is None else Fraction(1, FINE_TICKS)
    stream.codec_context.time_base = tick
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.time_base = tick
        frame.pts = number if frame_times is None else round(frame_times[number] / tick)
        frame.duration = round(1 / fps / tick)  # otherwise the last frame would have no duration
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_audio(output: OutputContainer, codec: str, rate: int, channels: int) -> AudioStream:
    layout = "mono" if channels == 1 else "stereo"
    stream = output.add_stream(
        codec, rate=rate, layout=layout, options=dict(FAST_OPTIONS.get(codec, {}))
    )
    if not isinstance(stream, AudioStream):
        raise ValueError(f"{codec!r} encodes no audio")
    return stream


def _encode_audio(
    stream: AudioStream, waveform: NDArray[np.float32], rate: int
) -> Iterator["Packet[Any]"]:
    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=stream.layout.name)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    yield from stream.encode(frame)
    yield from stream.encode(None)
