"""One timeline for both tracks: when each frame is shown, whatever the file's time stamps do."""

from collections.abc import Sequence
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


class Clock:
    """Joins clocks that restart, jump or wrap, by FFmpeg's rule (``ts_discontinuity_detect``).

    Only in formats whose time stamps may do that, such as transport streams: their packets are
    shifted so that each continues where its stream left off.

    Attributes:
        jumps: how often the clock jumped.
    """

    def __init__(self, container: InputContainer) -> None:
        self.jumps = 0
        self._may_jump = bool(container.format.flags & cast(int, Flags.ts_discont.value))
        self._offset = Fraction(0)
        self._last: Fraction | None = None
        self._previous: dict[int, Fraction] = {}
        self._next: dict[int, Fraction] = {}

    def continue_with(self, packet: "Packet[Any]") -> None:
        """Shift the time stamps of the next packet of any stream, in place."""
        if not self._may_jump or packet.dts is None:
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
        origin: time stamp of the first frame, seconds.
        stamps: (N,) int64 increasing time stamps, in the stream's ticks.
        starts: (N,) float64 seconds from the first frame.
        keys: (N,) bool, whether the frame can be decoded without any other.
        duration: seconds until the last frame ends.
    """

    origin: float
    stamps: NDArray[np.int64]
    starts: NDArray[np.float64]
    keys: NDArray[np.bool_]
    duration: float

    @classmethod
    def of(cls, packets: "Sequence[Packet[Any]]", clip: Clip) -> Self:
        """The timeline of a video's packets; those that an edit list cuts away do not count.

        Raises:
            ClipError: ``corrupt`` where no packet has a time stamp.
        """
        shown: dict[int, int] = {}
        keys: set[int] = set()
        for packet in packets:
            stamp = stamp_of(packet)
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
        return cls(float(stamps[0] * tick), stamps, starts, key, float((end - stamps[0]) * tick))

    def share_replaced(self, wanted: NDArray[np.int64], found: Sequence[int]) -> float:
        """Share of the sampled frames that were replaced by others far from them."""
        # Two fields that make one frame have two stamps, so being off by one proves nothing.
        usual = np.median(np.diff(self.stamps)) if len(self.stamps) > 1 else 1
        off = np.abs(wanted - np.array(found)) if found else np.full(len(wanted), np.inf)
        return float((off > 2 * usual).mean())


def stamp_of(timed: "Packet[Any] | VideoFrame | AudioFrame") -> int | None:
    """When it is shown, in ticks; old containers such as AVI only know the decoding order."""
    return timed.pts if timed.pts is not None else timed.dts
