"""A run's results as one page to read and to show: ``index.html`` and its figures as PNG.

The page holds its figures itself, in a light and a dark version each, and needs no script and
nothing from anywhere, so that it can be mailed, archived and opened from disk.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from avcmr.figures import (
    ANNOTATED_CLASSES,
    AUDIO_TO_VISUAL,
    DARK,
    LIGHT,
    VISUAL_TO_AUDIO,
    History,
    Theme,
    class_figure,
    collapse_figure,
    confusion_figure,
    precision_recall_figure,
    to_png,
    training_figure,
)
from avcmr.metrics import Evaluation


def write_report(
    directory: Path,
    evaluation: Evaluation,
    *,
    history: History = (),
    provenance: Mapping[str, Any],
    warnings: Sequence[str] = (),
    title: str = "Audio-visual retrieval",
) -> Path:
    """Write ``index.html`` and the figures as PNG into ``directory``; return the page's path.

    Args:
        directory: the folder itself, such as ``runs/NAME/report``; made if missing.
        evaluation: the test results, both directions.
        history: the lines of ``metrics.jsonl``; empty for methods that are not trained by epochs.
        provenance: configuration, weights and versions; nested mappings are shown flat.
        warnings: what a reader must know before believing a number; shown first.
        title: heading of the page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    figures = {}
    for name, draw in _figures(evaluation, history).items():
        light = to_png(draw(LIGHT))
        (directory / f"{name}.png").write_bytes(light)
        figures[name] = {"light": _data_uri(light), "dark": _data_uri(to_png(draw(DARK)))}
    environment = Environment(
        loader=PackageLoader("avcmr"),
        autoescape=True,  # class names, titles and configuration values come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=title,
        warnings=warnings,
        evaluation=evaluation,
        directions=(
            (AUDIO_TO_VISUAL, "confusion_audio_to_visual", evaluation.audio_to_visual),
            (VISUAL_TO_AUDIO, "confusion_visual_to_audio", evaluation.visual_to_audio),
        ),
        classes=_class_rows(evaluation),
        figures=figures,
        side_by_side=len(evaluation.class_names) <= ANNOTATED_CLASSES,
        training=_training_summary(history),
        provenance=list(_flat(provenance)),
    )
    index = directory / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _figures(evaluation: Evaluation, history: History) -> dict[str, Callable[[Theme], Figure]]:
    """File name → how to draw it; those of the training only if there was one."""
    training: dict[str, Callable[[Theme], Figure]] = {
        "training": lambda theme: training_figure(history, theme),
        "collapse": lambda theme: collapse_figure(history, theme),
    }
    results: dict[str, Callable[[Theme], Figure]] = {
        "precision_recall": lambda theme: precision_recall_figure(evaluation, theme),
        "classes": lambda theme: class_figure(evaluation, theme),
        "confusion_audio_to_visual": lambda theme: confusion_figure(evaluation, "audio", theme),
        "confusion_visual_to_audio": lambda theme: confusion_figure(evaluation, "visual", theme),
    }
    return training | results if history else results


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _class_rows(evaluation: Evaluation) -> list[tuple[str, float, float, float]]:
    """Name, MAP audio → visual, MAP visual → audio and chance of each class."""
    first, second = evaluation.audio_to_visual, evaluation.visual_to_audio
    columns = (first.per_class_map, second.per_class_map, first.per_class_chance)
    return list(zip(evaluation.class_names, *columns, strict=True))


def _training_summary(history: History) -> str:
    """Such as "60 epochs (40 in stage 1, 20 in stage 2), 3 min 12 s"; empty without any."""
    if not history:
        return ""
    stages = [line.get("stage") for line in history]
    counts = [f"{stages.count(stage)} in stage {stage}" for stage in (1, 2) if stage in stages]
    seconds = round(sum(line.get("seconds") or 0 for line in history))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = ((hours, "h"), (minutes, "min"), (seconds % 60, "s"))
    time = " ".join(f"{value} {unit}" for value, unit in parts if value) or "under a second"
    epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    return f"{epochs} ({', '.join(counts)}), {time}" if counts else f"{epochs}, {time}"


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as rows of dotted key and text."""
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str, ensure_ascii=False)
