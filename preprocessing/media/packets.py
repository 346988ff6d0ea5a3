"""Reading and decoding the packets of a file, as far as it is intact."""

from collections.abc import Iterator, Sequence
from typing import Any

import av
from av import Packet
from av.container import InputContainer
from av.stream import Stream

from preprocessing.media.timeline import Clock

Packets = Sequence["Packet[Any]"]
"""Of one stream, in decoding order."""

VIDEO_PREROLL = 12.0
"""Seconds from the key frame at which decoding begins to the first frame of a cut, at least: in
streams with intra refresh a frame is whole only so long after what passes for a key frame."""

AUDIO_PREROLL = 1.0
"""Seconds of sound decoded before a cut, as codecs build on what came before."""


def read_packets(container: InputContainer, *streams: Stream) -> tuple[list[Packets], int]:
    """All packets of each stream, as far as the file is readable, and how often its clock jumps."""
    packets: dict[int, list[Packet[Any]]] = {stream.index: [] for stream in streams}
    clock = Clock(container)
    for packet in _readable(container, streams):
        clock.continue_with(packet)
        packets[packet.stream_index].append(packet)
    return list(packets.values()), clock.jumps


def from_first_key(packets: Packets) -> Packets:
    """The packets of a video from the first frame that can be decoded by itself."""
    first = next((number for number, packet in enumerate(packets) if packet.is_keyframe), 0)
    key = packets[first].pts if first else None
    if key is None:
        return packets
    return [packet for packet in packets[first:] if packet.pts is None or packet.pts >= key]


def entry(packets: Packets, seconds: float) -> int:
    """Index of the packet at which decoding may begin to have all from this time stamp on."""
    entries = (
        number
        for number, packet in enumerate(packets)
        if packet.is_keyframe
        and packet.pts is not None
        and packet.pts * (packet.time_base or 0) <= seconds
    )
    return max(entries, default=0)


def _readable(container: InputContainer, streams: Sequence[Stream]) -> "Iterator[Packet[Any]]":
    try:
        for packet in container.demux(*streams):
            if packet.size or packet.dts is not None:  # else PyAV's mark of a stream's end
                yield packet
    except MemoryError:  # PyAV's is an FFmpegError too, but says nothing against the file
        raise
    except av.FFmpegError:
        return  # as players do; headers tell whether much is missing
