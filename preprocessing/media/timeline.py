"""One timeline for both tracks: when each frame is shown, whatever the file's time stamps do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self, cast

import numpy as np
from av import AudioFrame, Packet, VideoFrame
from av.container import InputContainer
from av.format import Flags
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError

MAX_JUMP = 10
"""Seconds by which time stamps may jump before that is a new clock (FFmpeg's threshold)."""

MAX_STEP_BACK = Fraction(1, 10)
"""Seconds by which they may go back (FFmpeg's threshold)."""


def may_jump(container: InputContainer) -> bool:
    """Whether time stamps may jump in its format, so that they do not tell how long a file is."""
    return bool(container.format.flags & cast(int, Flags.ts_discont.value))


class Clock:
    """Joins clocks that restart, jump or wrap, by FFmpeg's rule (``ts_discontinuity_detect``).

    Only in formats whose time stamps may do that, such as transport streams: their packets are
    shifted so that each continues where its stream left off.

    Attributes:
        jumps: how often the clock jumped.
        may_jump: whether the format allows that.
    """

    def __init__(self, container: InputContainer) -> None:
        self.jumps = 0
        self.may_jump = may_jump(container)
        self._is_avi = container.format.name == "avi"
        self._offset = Fraction(0)
        self._last: Fraction | None = None
        self._previous: dict[int, Fraction] = {}
        self._next: dict[int, Fraction] = {}

    def continue_with(self, packet: "Packet[Any]") -> None:
        """Correct the time stamps of the next packet of any stream, in place."""
        if self._is_avi and packet.stream.type == "video":
            packet.pts = None  # FFmpeg makes one up, but AVI only has the decoding order
        if not self.may_jump or packet.dts is None:
            return
        tick, stream = packet.time_base, packet.stream_index
        now = packet.dts * tick + self._offset
        expected = self._next.get(stream, self._last)
        if expected is not None:
            back = self._previous.get(stream, now) - now
            if abs(now - expected) > MAX_JUMP or back > MAX_STEP_BACK:
                self.jumps += 1
                self._offset += expected - now
                now = expected
        shift = round(self._offset / tick)
        packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift
        self._previous[stream] = self._last = now
        self._next[stream] = now + (packet.duration or 0) * tick


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each frame of a video is shown, known from its packets.

    Attributes:
        origin: time stamp of the file's first frame, seconds.
        stamps: (N,) int64 increasing time stamps, in the stream's ticks.
        starts: (N,) float64 seconds from the file's first frame.
        keys: (N,) bool, whether the frame can be decoded without any other.
        duration: seconds until the last frame ends.
    """

    origin: float
    stamps: NDArray[np.int64]
    starts: NDArray[np.float64]
    keys: NDArray[np.bool_]
    duration: float

    @classmethod
    def of(cls, packets: "Sequence[Packet[Any]]", first: int | None, clip: Clip) -> Self:
        """The timeline of a video's packets; those that an edit list cuts away do not count.

        Args:
            packets: of the video.
            first: time stamp of the file's first frame, ticks.
            clip: whose file it is.

        Raises:
            ClipError: ``corrupt`` where no packet has a time stamp.
        """
        shown = {stamp for one in packets if (stamp := shown_stamp(one)) is not None}
        keys = {shown_stamp(one) for one in packets if one.is_keyframe}
        tick = packets[0].time_base if packets else None
        if not shown or first is None or tick is None:
            raise ClipError("corrupt", f"{clip.file}: no video frame has a time stamp")
        stamps = np.array(sorted(shown), dtype=np.int64)
        starts = (stamps - first).astype(np.float64) * float(tick)
        key = np.array([stamp in keys for stamp in stamps.tolist()])
        origin = float(first * tick)
        return cls(origin, stamps, starts, key, end_of(packets) - origin)

    def share_lost(
        self, wanted: NDArray[np.int64], found: Sequence[int], corrupt: Collection[int] = ()
    ) -> float:
        """Share of the sampled frames that were replaced by others.

        Args:
            wanted: (T,) stamps of the frames to be sampled.
            found: stamps of the frames taken; empty where there are none at all.
            corrupt: stamps of frames that are known to be damaged.
        """
        # Two fields that make one frame have two stamps, so being off by one proves nothing.
        usual = np.median(np.diff(self.stamps)) if len(self.stamps) > 1 else 1
        off = np.abs(wanted - np.array(found)) if found else np.full(len(wanted), np.inf)
        return float(((off > 2 * usual) | np.isin(wanted, list(corrupt))).mean())


def stamp_of(timed: "Packet[Any] | VideoFrame | AudioFrame") -> int | None:
    """When it is shown, in ticks; old containers such as AVI only know the decoding order."""
    return timed.pts if timed.pts is not None else timed.dts


def shown_stamp(packet: "Packet[Any]") -> int | None:
    """When its frame is shown, in ticks; None where it has none, or an edit list cuts it away."""
    return stamp_of(packet) if packet.size and not packet.is_discard else None


def end_of(packets: "Sequence[Packet[Any]]") -> float:
    """Time stamp at which the last of them ends, seconds; also of one that repeats a frame."""
    ends = (
        float((stamp + (packet.duration or 0)) * (packet.time_base or 0))
        for packet in packets
        if not packet.is_discard and (stamp := stamp_of(packet)) is not None
    )
    return max(ends, default=0.0)
