"""What all decoders read of a clip: its packets, its timeline and its sound."""

from dataclasses import dataclass
from typing import Self

from av import VideoFrame
from av.container import InputContainer

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.damage import Damage, Losses
from preprocessing.media.headers import Headers, no_audio, read_headers, require_within
from preprocessing.media.orientation import Orientation
from preprocessing.media.packets import Packets, from_first_key, read_packets
from preprocessing.media.sampling import Sampling, cut
from preprocessing.media.timeline import Timeline
from preprocessing.media.waveform import Sound, read_sound

LEADING_PACKETS = 32
"""Packets of video in which a first frame is looked for."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The packets of a clip with video and audio.

    Attributes:
        clip: whose file is open.
        headers: of the file.
        video: packets of the video.
        audio: packets of the audio.
        timeline: of the video's frames.
        jumps: how often the file's clock jumps.
        origin: time stamp of the first frame shown, seconds.
        start: first second of the cut, counted from the file's first frame.
        end: its last second.
    """

    clip: Clip
    headers: Headers
    video: Packets
    audio: Packets
    timeline: Timeline
    jumps: int
    origin: float
    start: float
    end: float

    @classmethod
    def of(
        cls, container: InputContainer, clip: Clip, sampling: Sampling, *, with_audio: bool = True
    ) -> Self:
        """Read an open file; nothing is decoded.

        Args:
            container: of the clip's file.
            clip: which part of it.
            sampling: what is wanted of it.
            with_audio: whether it must have audio.

        Raises:
            ClipError: with the reason why the clip cannot be used.
        """
        headers = read_headers(container, clip.file, with_audio=with_audio)
        headers.require_within(clip, sampling.max_seconds)
        streams = [headers.video] + ([headers.audio] if headers.audio else [])
        packets, jumps = read_packets(container, *streams)
        video, audio = packets if len(packets) == 2 else (packets[0], [])
        shown = from_first_key(video)
        timeline = Timeline.of(shown, clip)
        late = 0.0 if shown is video else timeline.origin - headers.video_start
        require_within(timeline.duration, clip, sampling.max_seconds)
        if not jumps:  # else the headers do not know how long it is
            headers.require_all(late + timeline.duration, clip.file)
        start, end = cut(clip, timeline.duration)
        origin = headers.video_start + late
        return cls(clip, headers, shown, audio, timeline, jumps, origin, start, end)

    @property
    def seconds(self) -> float:
        """The cut's length."""
        return self.end - self.start

    def require_one_clock(self) -> None:
        """For libraries that follow no clock that jumps.

        Raises:
            ClipError: ``corrupt``.
        """
        if self.jumps:
            raise ClipError(
                "corrupt",
                f"{self.clip.file}: its time stamps jump, as where recordings were joined; "
                "try --decoder pyav",
            )

    def damage(self, sound: Sound, *, frames: float = 0.0) -> Damage:
        """The damage of the clip: what was replaced, and what was found in reading it."""
        notes = ("its time stamps jump; they were joined",) if self.jumps else ()
        return Damage(frames, sound.lost, notes + sound.notes)

    def orientation(self) -> Orientation:
        """How the video is to be turned; decodes one frame, the container must still be open."""
        frames = Losses().decode(self.headers.video, self.video[:LEADING_PACKETS])
        frame = next((frame for frame in frames if isinstance(frame, VideoFrame)), None)
        return Orientation.of(frame) if frame is not None else Orientation()

    def sound(self) -> Sound:
        """The sound of the cut; the container must still be open.

        Raises:
            ClipError: too much of it is lost, or it is too short or silent.
        """
        if self.headers.audio is None:
            raise no_audio(self.clip.file)
        origin = self.origin + self.start
        return read_sound(self.headers.audio, self.audio, origin, self.seconds, self.clip.file)
