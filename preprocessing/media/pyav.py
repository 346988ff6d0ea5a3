"""Decoding with PyAV on the CPU: the file read once, and no frame decoded in vain."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from av import AudioFrame, Packet, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.media.damage import Losses, require_little
from preprocessing.media.headers import has_video, opened, read_audio_headers
from preprocessing.media.orientation import Orientation
from preprocessing.media.packets import VIDEO_PREROLL, Packets, entry, read_stretch
from preprocessing.media.reading import Reading
from preprocessing.media.sampling import Sampling, cut, frame_times, nearest, shown_at
from preprocessing.media.timeline import shown_stamp, stamp_of
from preprocessing.media.types import Media
from preprocessing.media.waveform import read_sound


class PyAVDecoder:
    """Video and audio in one pass over the file, on one CPU thread.

    All packets are read first, so that every frame's time stamp is known before any is decoded.
    Frames that no other depends on (most B-frames) are then decoded only if they are sampled,
    which changes no pixel of those. With ``key_frames``, only key frames are decoded.
    """

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """See :meth:`preprocessing.media.Decoder.decode`."""
        with opened(clip.file) as container:
            reading = Reading.of(container, clip, sampling)
            times = frame_times(reading.seconds, sampling.frames_per_second)
            sampled = _sample(reading, reading.start + times, sampling)
            sound = reading.sound()
        return Media(
            frames=sampled.frames,
            frame_times=times,
            waveform=sound.waveform,
            duration=reading.seconds,
            source=reading.headers.source,
            damage=reading.damage(sound, frames=sampled.lost),
        )


def decode_frames(clip: Clip, sampling: Sampling) -> NDArray[np.uint8]:
    """The frames (T, H, W, 3) of a clip, as :class:`PyAVDecoder` takes them; sound is not needed.

    Raises:
        ClipError: with the reason why it cannot be used.
    """
    with opened(clip.file) as container:
        reading = Reading.of(container, clip, sampling, with_audio=False)
        times = frame_times(reading.seconds, sampling.frames_per_second)
        return _sample(reading, reading.start + times, sampling).frames


def decode_waveform(clip: Clip, sampling: Sampling) -> NDArray[np.float32]:
    """The waveform (S,) of a clip, as :class:`PyAVDecoder` has it; video is not needed.

    Where there is video, the waveform is as long as that, and no frame is decoded.

    Raises:
        ClipError: with the reason why it cannot be used.
    """
    with opened(clip.file) as container:
        if has_video(container):
            return Reading.of(container, clip, sampling).sound().waveform
        audio = read_audio_headers(container, clip, sampling.max_seconds)
        start, end = cut(clip, (clip.start or 0.0) + sampling.max_seconds)
        (packets,) = read_stretch(container, audio, start=start, end=end).packets
        beginning = float((audio.start_time or 0) * (audio.time_base or 0))
        origin = beginning + start if start else None
        return read_sound(audio, packets, origin, end - start, clip.file).waveform


_Stamped = tuple[int, VideoFrame | AudioFrame]
"""A frame and its time stamp, ticks."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Frames (T, H, W, 3), and the share of them that was replaced by neighbours."""

    frames: NDArray[np.uint8]
    lost: float


def _sample(reading: Reading, times: NDArray[np.float64], sampling: Sampling) -> _Sampled:
    """The frames at some times (T,), in seconds from the file's first frame.

    Raises:
        ClipError: ``corrupt`` where too many of them are lost.
    """
    timeline, packets = reading.timeline, reading.video
    if sampling.key_frames and timeline.keys.any():
        packets = [packet for packet in packets if packet.is_keyframe]
        stamps, starts = timeline.stamps[timeline.keys], timeline.starts[timeline.keys]
        wanted = stamps[nearest(starts, times)]  # (T,)
    else:
        wanted = timeline.stamps[shown_at(timeline.starts, times)]
    decoding = _Decoding(reading.headers.video, reading.display_order)
    frames = list(_shown(decoding.needed(packets, wanted), wanted, sampling.frame_size))
    if [stamp for stamp, _ in frames] != wanted.tolist():
        # The frames' stamps are not those of the packets, or some are lost: decode all.
        frames = list(_shown(decoding.all(packets), wanted, sampling.frame_size))
    lost = timeline.share_lost(wanted, [stamp for stamp, _ in frames], decoding.corrupt)
    require_little(lost, "frames", decoding.losses.reason, reading.clip.file)
    return _Sampled(np.stack([pixels for _, pixels in frames]), lost)


class _Decoding:
    """Decodes packets of a video to frames and their time stamps.

    Args:
        video: the stream, of the open container.
        display_order: whether time stamps are in the order in which frames are shown; else the
            first frame gets the least one, and so on.

    Attributes:
        losses: what cannot be decoded.
        corrupt: stamps of frames that FFmpeg patched up; they are left out.
    """

    def __init__(self, video: VideoStream, display_order: bool) -> None:
        self.losses = Losses()
        self.corrupt: set[int] = set()
        self._video, self._display_order = video, display_order
        video.codec_context.thread_count = 1  # clips are decoded in parallel, not frames

    def needed(self, packets: Packets, wanted: NDArray[np.int64]) -> "Iterator[_Stamped]":
        """The wanted frames, from a key frame well before the first, and those they need."""
        first = float(wanted[0] * (self._video.time_base or 0))
        entered = packets[entry(packets, first - VIDEO_PREROLL) :]
        if not self._display_order:
            return self._frames(entered, entered)
        return self._frames(_mark_needed(self._video, entered, set(wanted.tolist())), entered)

    def all(self, packets: Packets) -> "Iterator[_Stamped]":
        """All frames of all packets."""
        self._video.codec_context.flush_buffers()
        self._video.codec_context.skip_frame = "DEFAULT"
        self.losses, self.corrupt = Losses(), set()
        return self._frames(packets, packets)

    def _frames(self, decoded: "Iterable[Packet[Any]]", packets: Packets) -> "Iterator[_Stamped]":
        stamps = (stamp for one in packets if (stamp := shown_stamp(one)) is not None)
        ordered = None if self._display_order else iter(sorted(stamps))
        for frame in self.losses.decode(self._video, decoded):
            stamp = stamp_of(frame) if ordered is None else next(ordered, None)
            if stamp is None:
                continue
            if frame.is_corrupt:
                self.corrupt.add(stamp)
                self.losses.add(0.0, "damaged frames")
            else:
                yield stamp, frame


def _mark_needed(video: VideoStream, packets: Packets, wanted: set[int]) -> "Iterator[Packet[Any]]":
    """The packets; of each the decoder learns whether its frame is wanted before it comes."""
    for number, packet in enumerate(packets):
        # The first is never left out: dav1d asks once, when it opens, and would leave out for good.
        wholly = number == 0 or packet.pts is None or packet.pts in wanted
        video.codec_context.skip_frame = "DEFAULT" if wholly else "NONREF"
        yield packet


def _shown(
    frames: "Iterator[_Stamped]", wanted: NDArray[np.int64], size: int | None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """For each wanted stamp, increasing, the (H, W, 3) frame shown then, and its own stamp.

    That is the last frame that has started, or the first of all; nothing if there is none. Frames
    are consumed no further than needed.
    """
    current, upcoming = next(frames, None), None
    if current is None:
        return
    picture = _picture(current[1], size)
    for stamp in wanted.tolist():
        moved = False
        while current[0] < stamp:
            upcoming = upcoming or next(frames, None)
            if upcoming is None or upcoming[0] > stamp:
                break
            current, upcoming, moved = upcoming, None, True
        picture = _picture(current[1], size) if moved else picture
        yield current[0], picture


def _picture(frame: VideoFrame | AudioFrame, size: int | None) -> NDArray[np.uint8]:
    """Upright RGB; a square of ``size`` pixels, or as large as it is."""
    frame = cast(VideoFrame, frame)
    pixels = frame.reformat(size, size, "rgb24").to_ndarray()
    upright = Orientation.of(frame).apply(cast(NDArray[np.uint8], pixels))
    return cast(NDArray[np.uint8], upright)
