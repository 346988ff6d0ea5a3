"""Compare trained runs in one self-contained HTML page.

Each run is evaluated again on its test clips: MAP by class and direction, precision and recall, the
best and worst queries with pictures and waveforms, training curves and gauges of collapse, settings
(differences are marked) and provenance. For a single run it is the page of avcmr evaluate.

Examples:

    avcmr report runs/first runs/second          (writes runs/report.html)

    avcmr report runs/first runs/second --out comparison.html
"""

from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.console import console, warn
from preprocessing.errors import UsageError


def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, such as runs/NAME.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file; by default report.html beside the first run.")
    ] = None,
) -> None:
    from avcmr.evaluation.embeddings import embed_test_split
    from avcmr.evaluation.report.page import render
    from avcmr.evaluation.results import comparability_warnings, measure
    from avcmr.training.run_folder import RunFolder

    page = out or runs[0].resolve().parent / "report.html"
    if page.is_dir():
        raise UsageError(f"{page}: is a folder; --out wants a file, such as {page / 'report.html'}")
    measured = []
    for path, name in _names(runs).items():
        console.print(f"measuring {path} …", markup=False)
        folder = RunFolder(path)
        measured.append(measure(folder, embed_test_split(folder), name))
    warn(comparability_warnings(measured))
    warn(dict.fromkeys(warning for run in measured for warning in run.warnings))
    render(measured, title=" · ".join(["avcmr", *(run.name for run in measured)])).write(page)
    print(page)


def _names(runs: list[Path]) -> dict[Path, str]:
    """Each run once, by the name of its folder, or by its path where two have the same name."""
    paths = {path.resolve(): path for path in runs}
    names = [path.name for path in paths]
    return {
        path: str(path) if names.count(whole.name) > 1 else whole.name
        for whole, path in paths.items()
    }
