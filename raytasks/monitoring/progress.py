"""How far an extraction is, for those who watch it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """An extraction at one moment; clips that were done before it began do not count.

    Attributes:
        done: clips that are stored.
        reasons: clips that failed, by the reason.
        total: clips there were to do.
        frames: frames that went through the networks.
        queues: clips that wait, by what for: ``decode``, ``network`` or ``retry``.
        processes: what each does, by its name: ``starting``, ``idle``, or the names of its clips.
        seconds: since the start.
    """

    done: int
    reasons: Mapping[str, int]
    total: int
    frames: int
    queues: Mapping[str, int]
    processes: Mapping[str, str]
    seconds: float

    @property
    def failed(self) -> int:
        return sum(self.reasons.values())

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed

    @property
    def clips_per_second(self) -> float:
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0
