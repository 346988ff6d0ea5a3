"""The timeline of a synthetic clip, which its picture and its sound share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timeline:
    """When things happen; picture and sound are rendered from the same timeline.

    Attributes:
        duration: seconds.
        period: mean seconds between two beats.
        beats: (B,) float64, seconds of the events (a ball lands, a bell rings); the first may lie
            before 0 and the last after the end, so that motion has no gaps.
        size: of the object, 1 on average; larger objects sound deeper.
    """

    duration: float
    period: float
    beats: NDArray[np.float64]
    size: float

    def since_beat(self, t: float) -> float:
        """Seconds since the last beat."""
        return float(t - self.beats[self.beat_number(t)])

    def beat_number(self, t: float) -> int:
        """How many beats have passed, the first one being number 0."""
        return max(int(np.searchsorted(self.beats, t, side="right")) - 1, 0)

    def between_beats(self, t: float) -> float:
        """How far ``t`` is from the last beat, 0, to the next one, 1."""
        last = min(self.beat_number(t), len(self.beats) - 2)
        return float((t - self.beats[last]) / (self.beats[last + 1] - self.beats[last]))


def draw_timeline(
    rng: np.random.Generator, *, duration: float, period: tuple[float, float]
) -> Timeline:
    """A random timeline whose mean period lies in the range given; beats vary by 10 %."""
    mean = rng.uniform(*period)
    gaps = mean * rng.uniform(0.9, 1.1, size=int(duration / mean / 0.9) + 3)
    beats = np.cumsum(gaps) - gaps[0] - rng.uniform(0, mean)
    return Timeline(duration, mean, beats, size=float(np.exp(rng.uniform(-0.3, 0.3))))
