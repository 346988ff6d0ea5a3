"""How far an extraction is, for those who watch it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("decoder", "extractor")
_PHASES = ("starting", "idle", "working")


@dataclass(frozen=True, slots=True)
class Progress:
    """An extraction at one moment; clips that were done before it began do not count.

    Attributes:
        done: clips that are stored.
        reasons: clips that failed, by reason.
        total: clips there were to do.
        frames: frames that went through the networks.
        queues: waiting clips, by what they wait for: ``decode``, ``network`` or ``retry``.
        processes: what each process does, by its name: ``starting``, ``idle``, or its clips.
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

    @property
    def phases(self) -> dict[str, dict[str, int]]:
        """How many processes are in each of ``_PHASES``, for each of ``KINDS``."""
        counts = Counter(
            (name.partition(" ")[0], doing if doing in _PHASES else "working")
            for name, doing in self.processes.items()
        )
        return {kind: {phase: counts[kind, phase] for phase in _PHASES} for kind in KINDS}

    def summary(self) -> dict[str, Any]:
        """What ``avcmr status`` shows, as JSON takes it."""
        return {
            "done": self.done,
            "reasons": dict(self.reasons),
            "left": self.left,
            "clips_per_second": self.clips_per_second,
            "frames_per_second": self.frames / self.seconds if self.seconds > 0 else 0.0,
            "queues": dict(self.queues),
            "phases": self.phases,
        }
