"""Decoding with PyAV on the CPU: the file read once, and no frame decoded in vain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from av import AudioFrame, Packet, VideoFrame
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.headers import (
    VideoHeaders,
    has_video,
    opened,
    read_audio_headers,
    read_headers,
    read_video_headers,
)
from preprocessing.media.sampling import Sampling, cut, frame_times, nearest, shown_at
from preprocessing.media.types import SAMPLE_RATE, Media
from preprocessing.media.waveform import read_waveform, usable_waveform

PICTURE_PREROLL = 12.0
"""Seconds from the key frame at which decoding begins to the first frame of a cut, at least: in
streams that are refreshed little by little a picture is whole only so long after what passes for
a key frame."""

SOUND_PREROLL = 1.0
"""Seconds of sound decoded before a cut, as codecs build on what came before."""

MAX_MISSING = 0.1
"""Share of the sampled frames that may be lost before the clip counts as corrupt."""


class PyAVDecoder:
    """Pictures and sound in one pass over the file, on one CPU thread.

    All packets are read first, so that every frame's time stamp is known before any is decoded.
    Frames that no other is built on (most B-frames) are then decoded only if they are among the
    sampled ones, which changes no pixel of those. If key frames will do, no other is decoded.
    """

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """See :meth:`preprocessing.media.Decoder.decode`."""
        with opened(clip.file) as container:
            headers = read_headers(container, clip.file)
            headers.require_within(clip, sampling.max_seconds)
            pictures, sound = _packets(container, headers.video, headers.audio)
            start, end, frames, times = _sample(headers, pictures, clip, sampling)
            waveform = _waveform(sound, headers.video_start + start, end - start)
        return Media(
            frames=frames,
            frame_times=times,
            waveform=usable_waveform(waveform, end - start, clip.file),
            duration=end - start,
            source=headers.source,
        )


def decode_frames(clip: Clip, sampling: Sampling) -> NDArray[np.uint8]:
    """The frames (T, H, W, 3) of a clip, as :class:`PyAVDecoder` takes them; sound is not needed.

    Raises:
        ClipError: with the reason why it cannot be used.
    """
    with opened(clip.file) as container:
        headers = read_video_headers(container, clip.file)
        headers.require_within(clip, sampling.max_seconds)
        (pictures,) = _packets(container, headers.video)
        return _sample(headers, pictures, clip, sampling)[2]


def decode_waveform(clip: Clip, sampling: Sampling) -> NDArray[np.float32]:
    """The waveform (S,) of a clip, as :class:`PyAVDecoder` has it; pictures are not needed.

    Where there are pictures, the sound is that of their time, and none of them is decoded.

    Raises:
        ClipError: with the reason why it cannot be used.
    """
    longest = sampling.max_seconds
    with opened(clip.file) as container:
        if has_video(container):
            headers = read_headers(container, clip.file)
            headers.require_within(clip, longest)
            pictures, sound = _packets(container, headers.video, headers.audio)
            start, end = cut(clip, _timeline(headers, pictures, clip).duration)
            waveform = _waveform(sound, headers.video_start + start, end - start)
        else:
            audio = read_audio_headers(container, clip, longest)
            whole = read_waveform(container.decode(audio), None, (clip.start or 0) + longest)
            start, end = cut(clip, len(whole) / SAMPLE_RATE)
            waveform = whole[round(start * SAMPLE_RATE) :]
    return usable_waveform(waveform, end - start, clip.file)


def _packets(container: InputContainer, *streams: Stream) -> "list[list[Packet[Any]]]":
    """All packets of each stream; that which ends a stream is empty."""
    packets: dict[int, list[Packet[Any]]] = {stream.index: [] for stream in streams}
    for packet in container.demux(*streams):
        packets[packet.stream.index].append(packet)
    return list(packets.values())


def _waveform(
    packets: "Sequence[Packet[Any]]", origin: float, seconds: float
) -> NDArray[np.float32]:
    """Sound from a time of the picture's clock on, of which no more is decoded than needed."""
    packets = packets[_entry(packets, origin - SOUND_PREROLL) :]
    frames = (cast(AudioFrame, frame) for packet in packets for frame in packet.decode())
    return read_waveform(frames, origin, seconds)


def _entry(packets: "Sequence[Packet[Any]]", seconds: float) -> int:
    """Where decoding may begin if all is wanted from this time stamp on."""
    entries = (
        number
        for number, packet in enumerate(packets)
        if packet.is_keyframe
        and packet.pts is not None
        and packet.pts * (packet.time_base or 0) <= seconds
    )
    return max(entries, default=0)


def _timeline(headers: VideoHeaders, packets: "Sequence[Packet[Any]]", clip: Clip) -> "_Timeline":
    timeline = _Timeline.of(packets, clip)
    headers.require_all(timeline.duration, clip.file)
    return timeline


def _sample(
    headers: VideoHeaders, packets: "Sequence[Packet[Any]]", clip: Clip, sampling: Sampling
) -> tuple[float, float, NDArray[np.uint8], NDArray[np.float64]]:
    """The cut's first and last second; its sampled frames (T, H, W, 3) and their times (T,)."""
    timeline = _timeline(headers, packets, clip)
    start, end = cut(clip, timeline.duration)
    times = frame_times(end - start, sampling.frames_per_second)
    if sampling.key_frames and timeline.keys.any():
        packets = [packet for packet in packets if packet.is_keyframe or not packet.size]
        stamps, starts = timeline.stamps[timeline.keys], timeline.starts[timeline.keys]
        wanted = stamps[nearest(starts, start + times)]  # (T,)
    else:
        wanted = timeline.stamps[shown_at(timeline.starts, start + times)]
    frames = _decode_wanted(headers.video, packets, wanted, sampling.frame_size)
    timeline.require_frames(wanted, [stamp for stamp, _ in frames], clip)
    return start, end, np.stack([picture for _, picture in frames]), times


@dataclass(frozen=True, slots=True)
class _Timeline:
    """When each frame of a video is shown, known from its packets.

    Attributes:
        stamps: (N,) int64 time stamps in the stream's ticks, rising.
        starts: (N,) float64 seconds from the first frame.
        keys: (N,) bool, whether the frame can be decoded without any other.
        duration: seconds until the last frame ends.
    """

    stamps: NDArray[np.int64]
    starts: NDArray[np.float64]
    keys: NDArray[np.bool_]
    duration: float

    @classmethod
    def of(cls, packets: "Sequence[Packet[Any]]", clip: Clip) -> Self:
        """The timeline of a video's packets; those that an edit list cuts away do not count.

        Raises:
            ClipError: ``corrupt`` where no packet says when it is shown.
        """
        shown: dict[int, int] = {}
        keys: set[int] = set()
        for packet in packets:
            stamp = _stamp(packet)
            if packet.size and not packet.is_discard and stamp is not None:
                shown[stamp] = packet.duration or 0
                if packet.is_keyframe:
                    keys.add(stamp)
        tick = packets[0].time_base if packets else None
        if not shown or tick is None:
            raise ClipError("corrupt", f"{clip.file}: no video frame has a time stamp")
        stamps = np.array(sorted(shown), dtype=np.int64)
        end = max(stamp + duration for stamp, duration in shown.items())
        starts = (stamps - stamps[0]) * float(tick)
        key = np.array([stamp in keys for stamp in stamps.tolist()])
        return cls(stamps, starts, key, float((end - stamps[0]) * tick))

    def require_frames(self, wanted: NDArray[np.int64], found: list[int], clip: Clip) -> None:
        """Refuse a clip in which too many frames were replaced by others far from them.

        Raises:
            ClipError: ``corrupt``.
        """
        # Two fields that make one frame have two stamps, so being off by one proves nothing.
        usual = np.median(np.diff(self.stamps)) if len(self.stamps) > 1 else 1
        off = np.abs(wanted - np.array(found)) if found else np.full(len(wanted), np.inf)
        lost = int((off > 2 * usual).sum())
        if lost > MAX_MISSING * len(wanted):
            raise ClipError(
                "corrupt",
                f"{clip.file}: {lost} of {len(wanted)} sampled frames cannot be decoded; "
                "fetch it again or re-encode it",
            )


def _stamp(timed: "Packet[Any] | VideoFrame") -> int | None:
    # Old containers such as AVI stamp packets by decoding order alone.
    return timed.pts if timed.pts is not None else timed.dts


def _decode_wanted(
    video: VideoStream,
    packets: "Sequence[Packet[Any]]",
    wanted: NDArray[np.int64],
    size: int | None,
) -> list[tuple[int, NDArray[np.uint8]]]:
    """For each wanted time stamp, the (H, W, 3) frame shown then, and that frame's own stamp."""
    video.codec_context.thread_count = 1  # clips are decoded side by side, not frames
    first = float(wanted[0] * (video.time_base or 0))
    entered = packets[_entry(packets, first - PICTURE_PREROLL) :]
    frames = list(_shown(_needed(video, entered, set(wanted.tolist())), wanted, size))
    if [stamp for stamp, _ in frames] != wanted.tolist():
        # The packets' stamps are not those of the frames, so they are no guide: decode all.
        video.codec_context.flush_buffers()
        video.codec_context.skip_frame = "DEFAULT"
        every = (frame for packet in packets for frame in packet.decode())
        frames = list(_shown(cast(Iterator[VideoFrame], every), wanted, size))
    return frames


def _needed(
    video: VideoStream, packets: "Sequence[Packet[Any]]", wanted: set[int]
) -> Iterator[VideoFrame]:
    """Frames in the order they are shown: the wanted, and those that others are built on."""
    for number, packet in enumerate(packets):
        # The first is never left out: dav1d asks once, when it opens, and would leave out for good.
        wholly = number == 0 or packet.pts is None or packet.pts in wanted
        video.codec_context.skip_frame = "DEFAULT" if wholly else "NONREF"
        yield from packet.decode()


def _shown(
    frames: Iterator[VideoFrame], wanted: NDArray[np.int64], size: int | None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """For each wanted stamp, rising, the last frame whose time has come; nothing if there is none.

    Frames are drawn no further than needed.
    """
    stamped = ((when, frame) for frame in frames if (when := _stamp(frame)) is not None)
    current, upcoming = next(stamped, None), None
    if current is None:
        return
    picture = _picture(current[1], size)
    for stamp in wanted.tolist():
        moved = False
        while current[0] < stamp:
            upcoming = upcoming or next(stamped, None)
            if upcoming is None or upcoming[0] > stamp:
                break
            current, upcoming, moved = upcoming, None, True
        picture = _picture(current[1], size) if moved else picture
        yield current[0], picture


def _picture(frame: VideoFrame, size: int | None) -> NDArray[np.uint8]:
    """Upright RGB; a square of ``size`` pixels, or as large as it is."""
    pixels = frame.reformat(size, size, "rgb24").to_ndarray()
    return np.rot90(cast(NDArray[np.uint8], pixels), round(frame.rotation / 90))
