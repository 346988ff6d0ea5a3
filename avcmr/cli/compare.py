"""Compare methods on the same features: ours, its ablations, and its rivals.

Every method is trained on the training clips, selected on the validation clips and evaluated on
the test clips; methods that depend on the seed run with several. Each result is kept in the folder
given by --out, and the same command resumes where it was interrupted. Settings such as
model.hidden=[256] are shared by all methods.

Examples:

    avcmr compare --features features.h5

    avcmr compare --features features.h5 --methods ours,cca,infonce --seeds 3 --jobs 4
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avcmr.cli.console import ProgressLine, console, warn
from avcmr.cli.options import ConfigOption, OverridesArgument

if TYPE_CHECKING:
    from avcmr.comparison.published import Published
    from avcmr.comparison.statistics import Outcome, Summary
    from avcmr.comparison.study import Comparison
    from avcmr.config import Config
    from avcmr.features.dataset import Dataset

MethodsOption = Annotated[str, typer.Option("--methods", help="Comma-separated names, or all.")]
SeedsOption = Annotated[int, typer.Option(help="Seeds of each method that depends on one.", min=1)]
JobsOption = Annotated[int, typer.Option(help="Processes, of one thread each.", min=1)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print all results as JSON.")]


def command(
    features: Annotated[Path, typer.Option(help="Feature store, or a published feature file.")],
    overrides: OverridesArgument = None,
    methods: MethodsOption = "all",
    seeds: SeedsOption = 5,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; by default comparisons/NAME.")
    ] = None,
    jobs: JobsOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    from avcmr.config_files import load_config

    settings = load_config(config, overrides or ())
    folder = out or Path("comparisons") / features.stem
    result = run(features, settings, methods, seeds=seeds, folder=folder, jobs=jobs)
    print(json.dumps(result) if as_json else folder)


def run(
    features: Path,
    settings: "Config",
    methods: str,
    *,
    seeds: int,
    folder: Path,
    jobs: int,
    classes: int | None = None,
    published: Sequence["Published"] = (),
) -> dict[str, Any]:
    """Compare, print the table and write ``comparison.{csv,md,png}``; all results as a dict.

    The features must have so many ``classes``, if given; ``published`` is shown beside ours.
    """
    from avcmr.comparison.registry import check_names
    from avcmr.comparison.statistics import caveats, summarise
    from avcmr.comparison.study import Comparison, code_version, to_dict
    from avcmr.comparison.tables import published_table, rich_table
    from avcmr.metrics.metrics import expected_chance

    names = check_names([name.strip() for name in methods.split(",") if name.strip()])
    dataset = _fitting_dataset(features, settings, classes)
    console.print(f"{features}: {dataset!r}", markup=False)
    warn(dataset.warnings)
    comparison = Comparison(folder)
    with comparison.opened(settings, dataset):
        outcomes = _measured(
            comparison,
            features,
            settings,
            names,
            seeds=seeds,
            jobs=jobs,
            prefix_averaged=bool(published),
        )
        summaries = summarise(outcomes, comparison.precisions(outcomes))
        warnings = caveats(outcomes, code_version())
        chance = expected_chance(dataset.test.labels)
        _write(folder, summaries, chance, published, (*dataset.warnings, *warnings))
    warn(warnings)
    title = f"MAP on {len(dataset.test)} test clips of {features.name} (chance {chance:.3f})"
    console.print(rich_table(summaries, title))
    if published:
        console.print(published_table(published))
    return to_dict(outcomes, summaries, dataset) | {"chance": chance, "folder": str(folder)}


def _fitting_dataset(features: Path, settings: "Config", classes: int | None) -> "Dataset":
    """Load the features, and check them against the number of classes and the PCA."""
    from avcmr.features.dataset import load_dataset
    from avcmr.model.whitening import require_fitting_components
    from preprocessing.errors import UsageError

    dataset = load_dataset(features, settings.data)
    present = len(dataset.train.labels.unique())
    if classes is not None and present != classes:
        raise UsageError(f"{features}: {present} classes, where this data set has {classes}")
    require_fitting_components(len(dataset.train), dataset.train.visual.shape[1], settings.model)
    return dataset


def _measured(
    comparison: "Comparison",
    features: Path,
    settings: "Config",
    names: Sequence[str],
    *,
    seeds: int,
    jobs: int,
    prefix_averaged: bool,
) -> list["Outcome"]:
    """All outcomes, old and new, with a line of progress for each new one."""
    from avcmr.comparison.study import compare, trials

    wanted = set(trials(settings, names, seeds))
    done = len(wanted & {(one.method, one.seed) for one in comparison.outcomes()})
    console.print(f"plan: {len(wanted)} runs: {done} done, {len(wanted) - done} to do")
    with ProgressLine("compare", len(wanted)) as line:

        def show(outcome: "Outcome") -> None:
            nonlocal done
            done += 1
            line.update(done, f"{done}/{len(wanted)}")
            line.say(
                f"{done}/{len(wanted)} {outcome.method}, seed {outcome.seed}: "
                f"{outcome.audio_to_visual:.3f} a→v, {outcome.visual_to_audio:.3f} v→a, "
                f"{outcome.seconds:.1f} s{', COLLAPSED' if outcome.collapsed else ''}"
            )

        line.update(done, f"{done}/{len(wanted)}")
        return compare(
            comparison,
            features,
            settings,
            names,
            seeds=seeds,
            jobs=jobs,
            prefix_averaged=prefix_averaged,
            on_outcome=show,
        )


def _write(
    folder: Path,
    summaries: Sequence["Summary"],
    chance: float,
    published: Sequence["Published"],
    warnings: Sequence[str],
) -> None:
    """Write the table as CSV and Markdown, and the figure as PNG."""
    from avcmr.comparison.figure import comparison_figure
    from avcmr.comparison.tables import csv_table, markdown_table
    from avcmr.evaluation.report.theme import LIGHT, to_png

    (folder / "comparison.csv").write_text(csv_table(summaries), encoding="utf-8")
    text = markdown_table(summaries, published, warnings)
    (folder / "comparison.md").write_text(text, encoding="utf-8")
    (folder / "comparison.png").write_bytes(to_png(comparison_figure(summaries, chance, LIGHT)))
