"""Reading the packets of a file, as far as it is intact, and no more than a clip needs."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
from av import Packet
from av.container import InputContainer
from av.stream import Stream

from preprocessing.media.timeline import Clock, shown_stamp, stamp_of

Packets = Sequence["Packet[Any]"]
"""Of one stream, in decoding order."""

VIDEO_PREROLL = 12.0
"""Seconds from the key frame at which decoding begins to the first frame of a cut, at least: in
streams with intra refresh a frame is whole only so long after what passes for a key frame."""

AUDIO_PREROLL = 1.0
"""Seconds of sound decoded before a cut, as codecs build on what came before."""

LEADING_PACKETS = 32
"""Packets from the first key frame on, among which is the first frame shown."""

MARGIN = 2.0
"""Seconds read beyond a cut, as packets are not in the order in which they are shown."""

INTERLEAVING = 30.0
"""Seconds by which one stream of a file may run ahead of another before that has few packets."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The packets of a file from some time until another.

    Attributes:
        packets: of each stream, from where decoding may begin to have all of that time.
        first: time stamp of the first stream's first frame, in its ticks; None without any.
        jumps: how often the file's clock jumps.
        to_end: whether nothing of the file follows.
    """

    packets: Sequence[Packets]
    first: int | None
    jumps: int
    to_end: bool


def read_stretch(
    container: InputContainer,
    *streams: Stream,
    start: float = 0.0,
    end: float = math.inf,
    margin: float = MARGIN,
) -> Stretch:
    """The packets from time to time, in seconds from the first frame of the first stream.

    Memory follows the length of that stretch and not of the file. So does the time, unless the
    format cannot be searched, or its clock may jump: then the file is read from its beginning.
    """
    reader = _Reader(container, streams)
    reader.read_until(reader.has_begun)
    first = first_shown(from_first_key(reader.packets[0]))
    if first is not None:
        zero = float(first * (streams[0].time_base or 0))
        reader.leave_out(before=zero + start, after=zero + end + margin)
    reader.read_until(reader.is_past)
    return Stretch(reader.packets, first, reader.clock.jumps, reader.at_end)


def from_first_key(packets: Packets) -> Packets:
    """The packets of a video from the first frame that can be decoded by itself."""
    first = next((number for number, packet in enumerate(packets) if packet.is_keyframe), 0)
    key = packets[first].pts if first else None
    if key is None:
        return packets
    return [packet for packet in packets[first:] if packet.pts is None or packet.pts >= key]


def first_shown(packets: Packets) -> int | None:
    """The least time stamp of what is shown."""
    return min((stamp for one in packets if (stamp := shown_stamp(one)) is not None), default=None)


def entry(packets: Packets, seconds: float) -> int:
    """Index of the packet at which decoding may begin to have all from this time stamp on."""
    entries = (number for number, packet in enumerate(packets) if _enters(packet, seconds))
    return max(entries, default=0)


def _enters(packet: "Packet[Any]", seconds: float) -> bool:
    """Whether decoding may begin with it to have all from this time stamp on."""
    return packet.is_keyframe and _seconds(packet) <= seconds


def _seconds(packet: "Packet[Any]") -> float:
    stamp = stamp_of(packet)
    return math.inf if stamp is None else float(stamp * (packet.time_base or 0))


class _Reader:
    """Reads packets in order, and forgets those that turn out not to be needed.

    Attributes:
        packets: those kept of each stream.
        clock: of the file.
        at_end: whether all has been read.
    """

    def __init__(self, container: InputContainer, streams: Sequence[Stream]) -> None:
        self.packets: list[list[Packet[Any]]] = [[] for _ in streams]
        self.clock = Clock(container)
        self.at_end = False
        self._container, self._streams = container, streams
        self._numbers = {stream.index: number for number, stream in enumerate(streams)}
        self._needed = [-math.inf for _ in streams]
        self._latest = [-math.inf for _ in streams]
        self._until = math.inf
        self._keyed, self._leading = False, 0
        self._incoming = _readable(container, streams)

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read on, to the end of the file at most."""
        while not done():
            packet = next(self._incoming, None)
            if packet is None:
                self.at_end = True
                return
            self.clock.continue_with(packet)
            number = self._numbers[packet.stream_index]
            if _enters(packet, self._needed[number]):
                self.packets[number].clear()
            if self._latest[number] <= self._until:
                self.packets[number].append(packet)
            if number == 0:
                self._keyed |= packet.is_keyframe
                self._leading += self._keyed and shown_stamp(packet) is not None
            if packet.dts is not None:
                self._latest[number] = float(packet.dts * (packet.time_base or 0))

    def has_begun(self) -> bool:
        """Whether the first frame shown of the first stream must be among its packets."""
        ahead = max(self._latest) - self._latest[0]
        return self._leading >= LEADING_PACKETS or (self._leading > 0 and ahead > INTERLEAVING)

    def is_past(self) -> bool:
        """Whether nothing more is needed of any stream."""
        return min(self._latest) > self._until

    def leave_out(self, *, before: float, after: float) -> None:
        """Keep what is needed between two time stamps, and go there if that can be done."""
        self._until = after
        self._needed = [
            before - (VIDEO_PREROLL if stream.type == "video" else AUDIO_PREROLL)
            for stream in self._streams
        ]
        main, needed = self._streams[0], self._needed[0]
        if self.clock.may_jump or needed <= self._latest[0] or not main.time_base:
            return
        beginning = stamp_of(self.packets[0][0])
        if self._go_to(main, round(needed / main.time_base)):
            self.read_until(lambda: bool(self.packets[0]))
            if not self.packets[0] or not _enters(self.packets[0][0], needed):
                self._go_to(main, beginning or 0)

    def _go_to(self, stream: Stream, stamp: int) -> bool:
        try:
            self._container.seek(stamp, stream=stream)
        except av.FFmpegError:
            return False
        self._incoming, self.at_end = _readable(self._container, self._streams), False
        self.packets[:] = [[] for _ in self._streams]
        return True


def _readable(container: InputContainer, streams: Sequence[Stream]) -> "Iterator[Packet[Any]]":
    try:
        for packet in container.demux(*streams):
            if packet.size or packet.dts is not None:  # else PyAV's mark of a stream's end
                yield packet
    except MemoryError:  # PyAV's is an FFmpegError too, but says nothing against the file
        raise
    except av.FFmpegError:
        return  # as players do; headers tell whether much is missing
