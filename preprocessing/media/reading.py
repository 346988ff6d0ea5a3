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
from preprocessing.media.packets import (
    LEADING_PACKETS,
    MARGIN,
    VIDEO_PREROLL,
    Packets,
    from_first_key,
    read_stretch,
)
from preprocessing.media.sampling import Sampling, cut
from preprocessing.media.timeline import Timeline, end_of, may_jump
from preprocessing.media.waveform import Sound, read_sound

HELD = 0.5
"""Seconds of sound after the last frame from which on it counts as a picture that stays; less is
what encoders add to fill their last block."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The packets of a clip with video and audio.

    Attributes:
        clip: whose file is open.
        headers: of the file.
        video: packets of the video.
        audio: packets of the audio.
        timeline: of the video's frames.
        start: first second of the cut, counted from the file's first frame.
        end: its last second.
        display_order: whether time stamps say when frames are shown; else only their number is
            known, as AVI has it.
        jumps: how often the file's clock jumps.
    """

    clip: Clip
    headers: Headers
    video: Packets
    audio: Packets
    timeline: Timeline
    start: float
    end: float
    display_order: bool
    jumps: int

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
        if not may_jump(container):
            require_within(headers.duration, clip, sampling.max_seconds)
        stretch = read_stretch(
            container,
            *([headers.video, headers.audio] if headers.audio else [headers.video]),
            start=clip.start or 0.0,
            end=(clip.start or 0.0) + sampling.max_seconds if clip.end is None else clip.end,
            margin=VIDEO_PREROLL if sampling.key_frames else MARGIN,
        )
        video, audio = stretch.packets if headers.audio else (stretch.packets[0], [])
        shown = from_first_key(video)
        timeline = Timeline.of(shown, stretch.first, clip)
        sound = end_of(audio) - timeline.origin
        seconds = sound if sound > timeline.duration + HELD else timeline.duration
        require_within(seconds, clip, sampling.max_seconds)
        if stretch.to_end and not stretch.jumps:  # else the headers do not know how long it is
            late = max(timeline.origin - headers.video_start, 0.0)
            headers.require_all(late + timeline.duration, late + seconds, clip.file)
        start, end = cut(clip, seconds)
        undated = all(packet.pts is None for packet in shown)
        return cls(clip, headers, shown, audio, timeline, start, end, not undated, stretch.jumps)

    @property
    def seconds(self) -> float:
        """The cut's length."""
        return self.end - self.start

    def require_plain_clock(self) -> None:
        """For libraries that follow time stamps as they are.

        Raises:
            ClipError: ``corrupt``.
        """
        if self.jumps:
            raise ClipError(
                "corrupt",
                f"{self.clip.file}: its time stamps jump, as where recordings were joined; "
                "try --decoder pyav",
            )
        if not self.display_order and self.headers.video.has_b_frames:
            raise ClipError(
                "corrupt",
                f"{self.clip.file}: its time stamps are not in the order of its frames; "
                "try --decoder pyav",
            )

    def require_until(self, seconds: float, library: str) -> None:
        """For libraries that read the file themselves: refuse one of which they find too little.

        Args:
            seconds: from the file's first frame until the end of the last one that was found.
            library: which finds it.

        Raises:
            ClipError: ``corrupt``.
        """
        wanted = min(self.timeline.duration, self.end)
        if wanted - seconds > max(1.0, 0.1 * wanted):
            raise ClipError(
                "corrupt",
                f"{self.clip.file}: {library} finds {seconds:.1f} s of {wanted:.1f} s of picture; "
                "try --decoder pyav",
            )

    def damage(self, sound: Sound, *, frames: float = 0.0) -> Damage:
        """The damage of the clip: what was replaced, and what was found in reading it."""
        notes = ["its time stamps jump; they were joined"] if self.jumps else []
        if self.end > max(self.timeline.duration, self.start) + HELD:
            notes.append(f"picture ends at {self.timeline.duration:.1f} s; the last frame stays")
        return Damage(frames, sound.lost, (*notes, *sound.notes))

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
        origin = self.timeline.origin + self.start
        return read_sound(self.headers.audio, self.audio, origin, self.seconds, self.clip.file)
