"""The one judge of damage: what is lost is replaced and counted, and refused if it is too much."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
from av import AudioFrame, Packet, VideoFrame
from av.stream import Stream

from preprocessing.errors import ClipError

MAX_LOST = 0.1
"""Share of the frames or of the sound that may be lost before a clip counts as corrupt."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What was replaced in a decoded clip.

    Attributes:
        frames: share of the sampled frames that were replaced by their neighbours.
        sound: share of the waveform that was replaced by silence.
        notes: other repairs, in words for the user.
    """

    frames: float = 0.0
    sound: float = 0.0
    notes: tuple[str, ...] = ()


UNDAMAGED = Damage()
"""Nothing was replaced."""


@dataclass(slots=True)
class Losses:
    """Counts what cannot be decoded of a stream.

    Attributes:
        seconds: that are lost.
        reason: of the first loss, in FFmpeg's words.
    """

    seconds: float = 0.0
    reason: str = ""

    def add(self, seconds: float, reason: str) -> None:
        """Count seconds that are lost."""
        self.seconds += seconds
        self.reason = self.reason or reason

    def share_of(self, seconds: float) -> float:
        """The share lost of a stream that is so long, or at least as long as what is lost."""
        return self.seconds / max(seconds, self.seconds) if self.seconds else 0.0

    def decode(
        self, stream: Stream, packets: "Iterable[Packet[Any]]"
    ) -> Iterator[VideoFrame | AudioFrame]:
        """The frames of the packets that can be decoded."""
        for packet in packets:
            if packet.size:  # FFmpeg skips packets without data; PyAV would end the stream
                yield from self._frames(stream, packet)
        yield from self._frames(stream, None)

    def _frames(
        self, stream: Stream, packet: "Packet[Any] | None"
    ) -> list[VideoFrame | AudioFrame]:
        try:
            return cast(list[VideoFrame | AudioFrame], cast(Any, stream).decode(packet))
        except MemoryError:  # PyAV's is an FFmpegError too, but says nothing against the file
            raise
        except av.FFmpegError as error:
            if packet is not None:
                self.add(seconds_of(packet), error.strerror or str(error))
            return []


def seconds_of(packet: "Packet[Any]") -> float:
    """How long a packet lasts; 0 where that is unknown."""
    return float((packet.duration or 0) * (packet.time_base or 0))


def require_little(share: float, what: str, reason: str, path: Path) -> None:
    """Refuse a clip of which too much is lost.

    Raises:
        ClipError: ``corrupt``.
    """
    if share > MAX_LOST:
        raise ClipError(
            "corrupt",
            f"{path}: {share:.0%} of its {what} cannot be decoded{reason and f' ({reason})'}; "
            "fetch it again or re-encode it",
        )
