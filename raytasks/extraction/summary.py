"""What an extraction has done: counted while it runs, and summed up at its end."""

from collections import Counter
from dataclasses import dataclass, field

from preprocessing.errors import ClipError
from preprocessing.media.damage import UNDAMAGED, Damage
from preprocessing.media.repairs import count_repairs
from preprocessing.media.types import ClipFeatures
from preprocessing.networks.log_mel import EXAMPLE_SECONDS


@dataclass(frozen=True, slots=True)
class Summary:
    """What an extraction did.

    Attributes:
        reasons: clips that failed, by reason.
        repairs: clips that were mended, as :func:`preprocessing.media.repairs.count_repairs` says.
        seconds: in all,
        starting: of those, until the first networks were loaded.
    """

    done: int
    failed: int
    reasons: dict[str, int]
    repairs: dict[str, int]
    seconds: float
    starting: float
    frames: int
    audio_seconds: float


@dataclass(slots=True)
class Tally:
    """Counts clips as they end."""

    done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    damages: list[Damage] = field(default_factory=list)
    frames: int = 0
    audio_seconds: float = 0.0

    def store(self, features: ClipFeatures) -> None:
        """Count a clip that is stored."""
        self.done += 1
        self.frames += len(features.visual)
        self.audio_seconds += len(features.audio) * EXAMPLE_SECONDS
        if features.damage != UNDAMAGED:
            self.damages.append(features.damage)

    def fail(self, error: ClipError) -> None:
        """Count a clip that has failed."""
        self.reasons[error.reason] += 1

    @property
    def ended(self) -> int:
        """Clips that are stored or have failed."""
        return self.done + self.reasons.total()

    def summary(self, *, seconds: float, starting: float) -> Summary:
        """All of it, at the end."""
        return Summary(
            done=self.done,
            failed=self.reasons.total(),
            reasons=dict(self.reasons),
            repairs=count_repairs(self.damages),
            seconds=seconds,
            starting=starting,
            frames=self.frames,
            audio_seconds=self.audio_seconds,
        )
