"""What PyAV alone says of a file, to judge the reasons that avcmr gives."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True, slots=True)
class Truth:
    """A full decode, as far as it goes.

    Attributes:
        opens: whether it is a media file at all.
        frames: pictures that can be decoded,
        seconds: of sound that can be decoded,
        loudest: its largest sample.
        faults: packets that cannot be decoded, and files that end in an error.
    """

    opens: bool = False
    frames: int = 0
    seconds: float = 0.0
    loudest: float = 0.0
    faults: int = 0


def decoded(path: Path) -> Truth:
    """Decode all of a file."""
    frames, faults, seconds, loudest = 0, 0, 0.0, 0.0
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError):
        return Truth()
    with container:
        packets = container.demux([*container.streams.video[:1], *container.streams.audio[:1]])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError:
                faults += 1
                break
            try:
                found = packet.decode()
            except (av.FFmpegError, ValueError):
                faults += 1
                continue
            for frame in found:
                if isinstance(frame, av.VideoFrame):
                    frames += 1
                else:
                    seconds += frame.samples / max(frame.sample_rate, 1)
                    with suppress(ValueError):
                        loudest = max(loudest, float(np.abs(frame.to_ndarray()).max()))
    return Truth(True, frames, seconds, loudest, faults)


def is_true(reason: str, truth: Truth) -> bool:
    """Whether a reason, or ``stored``, agrees with what PyAV finds."""
    return {
        "stored": truth.frames > 0 and truth.seconds > 0,
        "empty": not truth.opens,
        # Without headers FFmpeg still guesses that it is one stream, and is not asked to.
        "not_media": not (truth.frames and truth.seconds),
        "no_video": truth.frames == 0,
        "no_audio": truth.seconds == 0 or truth.loudest < 1e-4,
        "too_short": truth.opens,
        "corrupt": truth.opens,
        "out_of_memory": truth.opens,
    }[reason]
