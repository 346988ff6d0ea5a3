"""The results of one run or several as one self-contained HTML page.

Figures (each in a light and a dark version) and pictures are embedded, and the page needs neither
scripts nor a network, so that it can be mailed, archived and opened from disk.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from avcmr.evaluation.report.figures import (
    ANNOTATED_CLASSES,
    MAX_RUNS,
    class_figure,
    collapse_figure,
    confusion_figure,
    precision_recall_figure,
    training_figure,
)
from avcmr.evaluation.report.theme import DARK, LIGHT, Theme, to_png
from avcmr.evaluation.report.tiles import HEIGHT, tiles
from avcmr.evaluation.results import Results, class_names_of, comparability_warnings
from avcmr.modality import DIRECTIONS, LABELS
from avcmr.training.history import History, collapse_of
from avcmr.training.run_folder import write_whole
from preprocessing.errors import UsageError
from preprocessing.media.previews import PEAKS


@dataclass(frozen=True, slots=True)
class Report:
    """The page, and its light figures as PNG by name."""

    html: str
    figures: dict[str, bytes]

    def write(self, path: Path) -> None:
        """Write the page alone, as a whole; its folder is created if missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.html.encode())

    def write_with_figures(self, folder: Path) -> Path:
        """Write ``index.html`` and each figure as a PNG beside it; return the page's path."""
        self.write(folder / "index.html")
        for name, png in self.figures.items():
            (folder / f"{name}.png").write_bytes(png)
        return folder / "index.html"


def render(runs: Sequence[Results], *, title: str) -> Report:
    """The report of one run, or of several side by side.

    Raises:
        UsageError: more than ``MAX_RUNS`` runs.
    """
    if len(runs) > MAX_RUNS:
        raise UsageError(
            f"{len(runs)} runs are too many to be told apart in one report; "
            f"give {MAX_RUNS} or fewer"
        )
    light: dict[str, bytes] = {}
    figures = {}
    for name, draw in _figures(runs).items():
        light[name] = to_png(draw(LIGHT))
        figures[name] = {"light": _data_uri(light[name]), "dark": _data_uri(to_png(draw(DARK)))}
    environment = Environment(
        loader=PackageLoader("avcmr.evaluation.report", ""),
        autoescape=True,  # names and settings come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html.j2").render(
        title=title,
        incomparable=comparability_warnings(runs),
        warnings=_warnings(runs),
        runs=runs,
        directions=LABELS,
        training_summary=_training_summary,
        tiles=[tiles(run.clips) for run in runs],
        classes=_class_rows(runs),
        figures=figures,
        side_by_side=len(class_names_of(runs)) <= ANNOTATED_CLASSES,
        settings=_comparison_rows([run.settings or {} for run in runs]),
        provenance=_comparison_rows([run.provenance or {} for run in runs]),
        light=LIGHT,
        dark=DARK,
        waveform=(PEAKS, HEIGHT),
    )
    return Report(html, light)


def _figures(runs: Sequence[Results]) -> dict[str, Callable[[Theme], Figure]]:
    """Name → how to draw the figure; those of the training only if a run has a history."""
    figures: dict[str, Callable[[Theme], Figure]] = {}
    if any(run.history for run in runs):
        figures["training"] = lambda theme: training_figure(runs, theme)
        figures["collapse"] = lambda theme: collapse_figure(runs, theme)
    figures["precision_recall"] = lambda theme: precision_recall_figure(runs, theme)
    figures["classes"] = lambda theme: class_figure(runs, theme)
    for number, run in enumerate(runs, start=1):
        suffix = f"_{number}" if len(runs) > 1 else ""
        for direction in DIRECTIONS:
            name = f"confusion_{direction}{suffix}"
            figures[name] = partial(confusion_figure, run.evaluation, direction)
    return figures


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _warnings(runs: Sequence[Results]) -> list[str]:
    """Each warning once, naming its runs unless all have it."""
    of_runs: dict[str, list[str]] = {}
    for run in runs:
        for warning in run.warnings:
            of_runs.setdefault(warning, []).append(run.name)
    return [
        warning if len(names) == len(runs) else f"{', '.join(names)}: {warning}"
        for warning, names in of_runs.items()
    ]


def _class_rows(runs: Sequence[Results]) -> list[tuple[str, list[float]]]:
    """Each class with three numbers per run: MAP in both directions, and chance; NaN if absent."""
    rows: dict[str, list[float]] = {name: [] for name in class_names_of(runs)}
    for run in runs:
        first, second = run.evaluation.audio_to_visual, run.evaluation.visual_to_audio
        columns = (first.per_class_map, second.per_class_map, first.per_class_chance)
        known = dict(zip(run.evaluation.class_names, zip(*columns, strict=True), strict=True))
        for name in rows:
            rows[name] += known.get(name, (nan, nan, nan))
    return list(rows.items())


def _training_summary(history: History) -> str:
    """Such as "60 epochs (40 in stage 1, 20 in stage 2), 3 min 12 s"."""
    stages = [line.get("stage") for line in history]
    counts = [f"{stages.count(stage)} in stage {stage}" for stage in (1, 2) if stage in stages]
    seconds = round(sum(line.get("seconds") or 0 for line in history))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = ((hours, "h"), (minutes, "min"), (seconds % 60, "s"))
    time = " ".join(f"{value} {unit}" for value, unit in parts if value) or "under a second"
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    collapse = collapse_of(history)
    verdict = "" if collapse is None else f"; collapsed in epoch {collapse}"
    stages_text = f" ({', '.join(counts)})" if counts else ""
    return f"{epochs}{stages_text}, {time}{verdict}"


def _comparison_rows(columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """Dotted key, its text in each column, and whether these differ."""
    flat = [dict(_flattened(column)) for column in columns]
    rows = []
    for key in dict.fromkeys(key for column in flat for key in column):
        texts = [column.get(key, "–") for column in flat]
        rows.append((key, texts, len(set(texts)) > 1))
    return rows


def _flattened(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as pairs of dotted key and text."""
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str, ensure_ascii=False)
