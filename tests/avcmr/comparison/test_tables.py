"""The table of a comparison in a terminal and in a document."""

from io import StringIO
from pathlib import Path

import numpy as np
from rich.console import Console

from avcmr.comparison.registry import all_methods
from avcmr.comparison.statistics import Outcome, summarise
from avcmr.comparison.tables import markdown_table, rich_table


def test_warnings_of_the_features_stand_above_the_table() -> None:
    first = markdown_table([], warnings=["Made with an UNTRAINED vggish."]).splitlines()[0]
    assert first == "**Made with an UNTRAINED vggish.**"


def test_the_table_fits_into_80_columns() -> None:
    """With every method, all of them collapsed, and times of some minutes."""
    outcomes = [
        Outcome(name, method.category, seed, *[0.6 + 0.01 * seed] * 4, True, 623.4, "1")
        for name, method in all_methods(Path()).items()
        for seed in range(2)
    ]
    generator = np.random.default_rng(0)
    precisions = {(one.method, one.seed): generator.random((2, 9)) for one in outcomes}
    console = Console(width=80, file=StringIO())
    console.print(rich_table(summarise(outcomes, precisions), "title"))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert all(f"{name}*" in shown for name in all_methods(Path()))
    assert "* the embedding space collapsed in training" in shown
