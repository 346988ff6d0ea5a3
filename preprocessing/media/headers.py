"""Container and stream headers, read before anything is decoded."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.types import Source

FORMATS = (
    *("aac", "ac3", "aiff", "asf", "au", "avi", "caf", "eac3", "flac", "flv", "matroska"),
    *("mov", "mp3", "mpeg", "mpegts", "ogg", "w64", "wav"),
)
"""FFmpeg's names of the formats that are read."""

OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
}
"""Files cannot make FFmpeg read other files or URLs, as playlists do."""

WITHOUT_LENGTHS = ("asf", "flv", "matroska,webm")
"""Formats that give the length of the file and none of its streams, which FFmpeg fills in."""

AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a media file with video.

    Attributes:
        source: size, time stamp, codec and frame rate.
        duration: seconds that the headers promise; None where they do not say.
        of_picture: whether that is of the picture alone; else of the longer of both.
        video: the stream of pictures, of the open container; of several, that which players show.
        audio: the stream of sound, of the open container; None where there is none.
        video_start: the time stamp of the first frame, in seconds: 0 on the clip's clock.
    """

    source: Source
    duration: float | None
    of_picture: bool
    video: VideoStream
    audio: AudioStream | None
    video_start: float

    def require_all(self, picture: float, both: float, path: Path) -> None:
        """Refuse a file that holds much less than its headers promise.

        Args:
            picture: seconds of picture that it holds.
            both: seconds of picture or sound.
            path: the file.

        Raises:
            ClipError: ``corrupt``.
        """
        held = picture if self.of_picture else both
        if self.duration is not None and self.duration - held > max(1.0, 0.1 * self.duration):
            raise ClipError(
                "corrupt",
                f"{path}: the header promises {self.duration:.1f} s of picture, "
                f"the file holds {held:.1f} s; fetch it again",
            )


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The file's container, open for reading.

    Raises:
        ClipError: ``missing`` (also where it may not be read), ``empty`` or ``not_media``; and
            ``corrupt`` for what FFmpeg cannot read while the container is open.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ClipError("missing", f"{path}: {error.strerror or error}") from None
    if not path.is_file():
        raise ClipError("not_media", f"{path}: not a regular file")
    if size == 0:
        raise ClipError("empty", f"{path}: the file has no bytes; fetch it again")
    try:
        # Absolute, so that no name is taken for a protocol's.
        container = av.open(str(path.absolute()), options=OPTIONS, metadata_errors="ignore")
    except (FileNotFoundError, PermissionError) as error:  # nothing against the file itself
        raise ClipError("missing", f"{path}: {error.strerror}") from None
    except (av.FFmpegError, ValueError) as error:
        if getattr(error, "errno", None) == errno.EINVAL:  # what the whitelist gives
            raise ClipError(
                "not_media",
                f"{path}: not in a format that is read here ({', '.join(FORMATS)}); re-encode it",
            ) from None
        raise ClipError(
            "not_media", f"{path}: not a readable media file ({_reason(error)})"
        ) from None
    with container:
        try:
            yield container
        except MemoryError:  # PyAV's is an FFmpegError too, but says nothing against the file
            raise
        except av.FFmpegError as error:
            raise ClipError("corrupt", f"{path}: cannot be decoded ({_reason(error)})") from None


def read_headers(container: InputContainer, path: Path, *, with_audio: bool = True) -> Headers:
    """Streams, length and clock of an open file with video, and with audio unless told otherwise.

    Raises:
        ClipError: ``no_video`` or ``no_audio``.
    """
    video = video_stream(container, path)
    has_audio = with_audio or container.streams.audio
    audio = audio_stream(container, path, video) if has_audio else None
    video_start = float((video.start_time or 0) * (video.time_base or 0))
    # The container knows of edit lists and the stream does not; a longer sound track is the
    # container's business and not the picture's. The smaller of the two is what is promised.
    whole = _length(container)
    if whole is not None and "matroska" in container.format.name:
        whole -= max(video_start, 0.0)  # counted from zero, wherever the first frame is
    picture = None if container.format.name in WITHOUT_LENGTHS else _length(video)
    promised = [seconds for seconds in (whole, picture) if seconds is not None]
    duration = min(promised, default=None)
    stat = path.stat()
    return Headers(
        source=Source(
            size=stat.st_size,
            mtime=stat.st_mtime_ns,
            codec=video.codec_context.name if video.codec_context else "unknown",
            fps=float(video.average_rate or 0),
        ),
        duration=duration,
        of_picture=picture is not None,
        video=video,
        audio=audio,
        video_start=video_start,
    )


def read_audio_headers(container: InputContainer, clip: Clip, max_seconds: float) -> AudioStream:
    """The sound of an open file that need not have pictures.

    Raises:
        ClipError: ``no_audio``, or ``out_of_memory`` where the clip is longer than ``max_seconds``.
    """
    audio = audio_stream(container, clip.file)
    require_within(_length(audio) or _length(container), clip, max_seconds)
    return audio


def has_video(container: InputContainer) -> bool:
    """Whether it is a video; the cover of a music file is no picture."""
    video = _best(container, "video")
    # A cover is a video stream to FFmpeg, but not to anybody else.
    return isinstance(video, VideoStream) and not video.disposition & Disposition.attached_pic


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The pictures of an open file: of several streams, that which players show.

    Raises:
        ClipError: ``no_video``, or ``corrupt`` where its codec is not known.
    """
    video = _best(container, "video")
    if not isinstance(video, VideoStream) or not has_video(container):
        raise ClipError("no_video", f"{path}: no video stream")
    return _decodable(video, path)


def audio_stream(
    container: InputContainer, path: Path, video: VideoStream | None = None
) -> AudioStream:
    """The sound of an open file: of several streams, that which players play.

    Args:
        container: the open file.
        path: its path.
        video: of whose programme it is to be, where a broadcast holds several.

    Raises:
        ClipError: ``no_audio``, or ``corrupt`` where its codec is not known.
    """
    audio = _best(container, "audio", video)
    if not isinstance(audio, AudioStream):
        raise no_audio(path)
    return _decodable(audio, path)


def _best(
    container: InputContainer, kind: Literal["video", "audio"], related: Stream | None = None
) -> Stream | None:
    """FFmpeg's choice of the streams that can be decoded: the default one, then the largest."""
    best = container.streams.best(kind, related=related)
    if best is None or _is_known(best):
        return best
    others = [one for one in container.streams if one.type == kind and _is_known(one)]
    return max(others, key=_preference, default=best)


def _is_known(stream: Stream) -> bool:
    return cast(Any, stream).codec_context is not None


def _preference(stream: Stream) -> tuple[bool, int]:
    rate = stream.codec_context.bit_rate or 0
    return bool(stream.disposition & Disposition.default), rate


def no_audio(path: Path) -> ClipError:
    """The error of a file without sound."""
    return ClipError("no_audio", f"{path}: no audio stream")


def _decodable(stream: AnyStream, path: Path) -> AnyStream:
    if stream.codec_context is None:
        raise ClipError(
            "corrupt",
            f"{path}: its {stream.type} has no codec that is known here; if it is encrypted, "
            "it cannot be used",
        )
    return stream


def require_within(duration: float | None, clip: Clip, max_seconds: float) -> None:
    """Refuse a clip that is too long, of a file of this duration, if it is known.

    Raises:
        ClipError: ``out_of_memory``.
    """
    ends = [end for end in (duration, clip.end) if end is not None]
    seconds = min(ends, default=0.0) - (clip.start or 0.0)
    if seconds > max_seconds:
        raise ClipError(
            "out_of_memory",
            f"{clip.file}: {seconds:.0f} s long, more than the limit of {max_seconds:g} s; "
            "cut it into clips",
        )


def _length(timed: InputContainer | Stream) -> float | None:
    if timed.duration is None:
        return None
    if isinstance(timed, Stream):
        return float(timed.duration * timed.time_base) if timed.time_base else None
    return timed.duration / av.time_base


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
