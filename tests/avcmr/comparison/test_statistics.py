"""Intervals and paired differences against SciPy, and the warnings."""

import numpy as np
import pytest
from scipy import stats

from avcmr.comparison.statistics import (
    Difference,
    Estimate,
    Outcome,
    caveats,
    differences_from_ours,
    summarise,
)
from avcmr.comparison.tables import markdown_table


def test_collapsed_and_outdated_results_are_warned_of() -> None:
    outcomes = [
        Outcome("ours", "ours", 0, *[0.6] * 4, False, 1.0, "new"),
        Outcome("hard-only", "ours", 0, *[0.3] * 4, True, 1.0, "new"),
        Outcome("cca", "closed form", 0, *[0.5] * 4, False, 1.0, "old"),
    ]
    collapsed, older = caveats(outcomes, "new")
    assert collapsed == "The embedding space of hard-only collapsed in training."
    assert older.startswith("1 of 3 results are from another version of avcmr's code (cca)")
    assert caveats(outcomes[:1], "new") == []
    summaries = summarise(outcomes, {(one.method, one.seed): np.ones((2, 5)) for one in outcomes})
    table = markdown_table(summaries)
    assert "| hard-only* | ours |" in table
    assert "| ours | ours |" in table


def test_the_difference_from_ours_is_that_of_pairs() -> None:
    """Of one seed each, against SciPy's paired bootstrap."""
    generator = np.random.default_rng(1)
    ours = generator.random(300)
    other = ours + generator.normal(0.02, 0.05, 300)
    found = differences_from_ours({"ours": ours[None], "cca": other[None]}, resamplings=20_000)
    assert set(found) == {"cca"}
    reference = stats.bootstrap(
        (other, ours),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=2,
    ).confidence_interval
    assert found["cca"].mean == pytest.approx((other - ours).mean())
    assert found["cca"].low == pytest.approx(reference.low, abs=4e-4)
    assert found["cca"].high == pytest.approx(reference.high, abs=4e-4)
    apart = np.sqrt((ours.var() + other.var()) / 300) * 1.96
    assert found["cca"].high - found["cca"].low < 0.3 * 2 * apart


def test_seeds_widen_the_interval_of_the_difference() -> None:
    clips = np.random.default_rng(3).random(500)
    ours = clips + np.array([[-0.03], [0.0], [0.03]])
    found = differences_from_ours({"ours": ours, "same": clips[None]}, resamplings=20_000)["same"]
    # Three values drawn with replacement: their mean has the standard deviation σ/√3.
    assert found.mean == pytest.approx(0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0245 / np.sqrt(3), rel=0.1)
    assert differences_from_ours({"cca": clips[None]}) == {}
    assert str(Difference(-0.02, -0.035, 0.004)) == "−.035 to +.004"


def test_the_interval_is_that_of_students_t() -> None:
    values = [0.61, 0.63, 0.60, 0.66, 0.62]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    estimate = Estimate.of(values)
    assert estimate.margin is not None
    assert estimate.mean - estimate.margin == pytest.approx(low)
    assert estimate.mean + estimate.margin == pytest.approx(high)
    assert Estimate.of([0.5]) == Estimate(0.5, None)
