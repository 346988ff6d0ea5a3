"""Statistics over the outcomes of a comparison: means, intervals, differences from ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from avcmr.comparison.baselines.method import Category
from avcmr.comparison.registry import all_methods

_CATEGORIES: tuple[Category, ...] = ("ours", "trained", "closed form", "chance", "joint input")
"""In the order in which they are shown."""

_OURS = "ours"

Floats = NDArray[np.float32]

Precisions = Mapping[tuple[str, int], Floats]
"""Method and seed → (2, N): average precision of N test clips as audio and as visual queries."""

_RESAMPLINGS = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One method with one seed, measured on the test clips.

    Attributes:
        method: its name.
        category: see ``Method``.
        seed: 0, 1, … after the first seed of the settings.
        audio_to_visual: MAP, ranked by class posterior (by cosine if the settings turn that off).
        visual_to_audio: MAP, likewise.
        by_cosine: average MAP, ranked by cosine. Rivals then also choose by cosine on validation;
            our own method and its ablations always choose by class posterior.
        validation: average MAP on the validation clips.
        collapsed: whether the embedding space had collapsed after any epoch; watched in our own
            method and its ablations only.
        seconds: training time, selection on validation included, on one thread; of a resumed run,
            the time since it was resumed.
        code: version of avcmr, see ``study.code_version``.
        prefix_averaged: of both directions; not MAP, see ``metrics.map_prefix_averaged``. None
            unless published numbers are shown beside.
    """

    method: str
    category: Category
    seed: int
    audio_to_visual: float
    visual_to_audio: float
    by_cosine: float
    validation: float
    collapsed: bool
    seconds: float
    code: str
    prefix_averaged: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean over seeds, with half the width of its 95% interval (Student's t); None for one run."""

    mean: float
    margin: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        if len(values) < 2:
            return cls(mean(values), None)
        quantile = float(student_t.ppf(0.975, len(values) - 1))
        return cls(mean(values), quantile * stdev(values) / sqrt(len(values)))

    def __str__(self) -> str:
        margin = "" if self.margin is None else f" ±{self.margin:.3f}"
        return (f"{self.mean:.3f}" + margin).replace("±0.", "±.")


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher a method's average MAP is than ours, with its 95% interval.

    Both are measured on the same test clips, so that how hard these are for any method does not
    widen the interval; comparing the intervals of the two methods would be less sensitive.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:+.3f} to {self.high:+.3f}".replace("0.", ".").replace("-", "−")


@dataclass(frozen=True, slots=True)
class Summary:
    """A method over its seeds: MAP in both directions and their average, and mean training time.

    Attributes:
        source: the publication that describes it.
        runs: number of seeds; 1 if the seed changes nothing.
        collapsed: number of runs whose embedding space collapsed.
        by_cosine: average MAP, ranked by cosine.
        against_ours: difference of the average MAP; None for ours, and if ours was not measured.
    """

    method: str
    category: Category
    source: str
    runs: int
    collapsed: int
    audio_to_visual: Estimate
    visual_to_audio: Estimate
    average: Estimate
    by_cosine: Estimate
    against_ours: Difference | None
    seconds: float


def summarise(outcomes: Sequence[Outcome], precisions: Precisions) -> list[Summary]:
    """Each method over its seeds, by category and then by average MAP, best first."""
    known = all_methods(Path())
    runs_of: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        runs_of.setdefault(outcome.method, []).append(outcome)
    differences = differences_from_ours(
        {
            name: np.stack([precisions[name, run.seed] for run in runs]).mean(axis=1)
            for name, runs in runs_of.items()
        }
    )
    summaries = [
        Summary(
            method=name,
            category=runs[0].category,
            source=known[name].source,
            runs=len(runs),
            collapsed=sum(run.collapsed for run in runs),
            audio_to_visual=Estimate.of([run.audio_to_visual for run in runs]),
            visual_to_audio=Estimate.of([run.visual_to_audio for run in runs]),
            average=Estimate.of([(run.audio_to_visual + run.visual_to_audio) / 2 for run in runs]),
            by_cosine=Estimate.of([run.by_cosine for run in runs]),
            against_ours=differences.get(name),
            seconds=mean(run.seconds for run in runs),
        )
        for name, runs in runs_of.items()
    ]
    return sorted(summaries, key=lambda one: (_CATEGORIES.index(one.category), -one.average.mean))


def caveats(outcomes: Sequence[Outcome], code: str) -> list[str]:
    """Warnings to be shown with these outcomes: collapses, and results of another code version."""
    found = []
    collapsed = sorted({one.method for one in outcomes if one.collapsed})
    if collapsed:
        found.append(f"The embedding space of {', '.join(collapsed)} collapsed in training.")
    older = [one for one in outcomes if one.code != code]
    if older:
        found.append(
            f"{len(older)} of {len(outcomes)} results are from another version of avcmr's code "
            f"({', '.join(sorted({one.method for one in older}))}) and were not measured again: "
            "use another --out to measure all with this one."
        )
    return found


def differences_from_ours(
    precisions: Mapping[str, Floats], *, resamplings: int = _RESAMPLINGS
) -> dict[str, Difference]:
    """Paired bootstrap: name → (seeds, N) average precisions of the same N test clips.

    Test clips are drawn with replacement, the same for all methods, and so are the seeds of each
    method, independently. The interval holds the middle 95% of the differences.
    """
    if _OURS not in precisions:
        return {}
    generator = np.random.default_rng(0)
    clips = precisions[_OURS].shape[1]
    drawn = generator.multinomial(clips, np.full(clips, 1 / clips), size=resamplings) / clips

    def resampled(values: Floats) -> NDArray[np.float64]:
        seeds = len(values)
        weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamplings) / seeds
        means: NDArray[np.float64] = (drawn @ values.T * weights).sum(axis=1)
        return means

    ours = resampled(precisions[_OURS])
    found = {}
    for name, values in precisions.items():
        if name != _OURS:
            low, high = np.quantile(resampled(values) - ours, [0.025, 0.975])
            difference = float(values.mean() - precisions[_OURS].mean())
            found[name] = Difference(difference, float(low), float(high))
    return found
