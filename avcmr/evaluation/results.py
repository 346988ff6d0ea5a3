"""The results of a run on its test clips, and whether those of several runs are comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from avcmr.evaluation.embeddings import Embedded
from avcmr.evaluation.examples import Examples, examples
from avcmr.metrics.metrics import Evaluation, evaluate
from avcmr.training.history import History
from avcmr.training.run_folder import RunFolder
from preprocessing.clips import Clip


@dataclass(frozen=True, slots=True)
class Results:
    """Results of one run, with what is needed to interpret them.

    Attributes:
        name: of the run.
        evaluation: metrics of both directions.
        history: of the training; empty for methods that are not trained by epochs.
        stages: what each stage learned from; empty if unknown.
        settings: the configuration; mappings may be nested.
        provenance: what else the numbers depend on, likewise.
        warnings: to be shown with any number.
        clips: the test clips with their labels; the examples' rows index them.
        fingerprint: of the data set, all splits; empty if unknown.
        audio_to_visual: best and worst audio queries; None if there are none to show.
        visual_to_audio: best and worst visual queries, likewise.
    """

    name: str
    evaluation: Evaluation
    history: History = ()
    stages: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    clips: tuple[Clip, ...] = ()
    fingerprint: str = ""
    audio_to_visual: Examples | None = None
    visual_to_audio: Examples | None = None


def measure(
    run: RunFolder,
    embedded: Embedded,
    name: str | None = None,
    *,
    device: torch.device | None = None,
) -> Results:
    """Evaluate a run on its test clips.

    Ranked on ``device``, by default the CPU; the name is by default that of the run's folder.
    """
    audio, visual, labels = (
        rows.to(device or torch.device("cpu"))
        for rows in (embedded.audio, embedded.visual, embedded.labels)
    )
    config = run.config()
    warnings = list(embedded.warnings)
    if not run.finished:
        warnings.append("The training is not finished: these are its best weights so far.")
    return Results(
        name=name or run.path.resolve().name,
        evaluation=evaluate(audio, visual, labels, embedded.class_names),
        history=run.history(),
        stages=tuple(
            stage.description for stage in (config.stage1, config.stage2) if stage.max_epochs
        ),
        settings=config.model_dump(mode="json"),
        provenance=_provenance(run, embedded),
        warnings=tuple(warnings),
        clips=embedded.clips,
        fingerprint=embedded.fingerprint,
        audio_to_visual=examples(audio, visual, labels),
        visual_to_audio=examples(visual, audio, labels),
    )


def _provenance(run: RunFolder, embedded: Embedded) -> dict[str, Any]:
    val_map = round(embedded.checkpoint["val_map"], 4)
    return {
        "run": str(run.path),
        "checkpoint": embedded.checkpoint | {"val_map": val_map},
        "data": {"sha256": embedded.fingerprint, "test clips": len(embedded.ids)},
        "features": asdict(embedded.made) if embedded.made else "their file does not say",
    }


def class_names_of(runs: Sequence[Results]) -> tuple[str, ...]:
    """The classes of all runs, those of the first run first."""
    return tuple(dict.fromkeys(name for run in runs for name in run.evaluation.class_names))


def comparability_warnings(runs: Sequence[Results]) -> list[str]:
    """Why the numbers of several runs cannot be compared; empty if they can."""
    first, warnings = runs[0], []
    for run in runs[1:]:
        tested, expected = (
            {(clip.id, clip.label) for clip in results.clips} for results in (run, first)
        )
        if tested != expected:
            warnings.append(
                f"The numbers of {first.name} and {run.name} are NOT COMPARABLE: they were "
                f"measured on different test clips ({len(expected):,} and {len(tested):,}, "
                f"of which {len(tested & expected):,} are the same)."
            )
        elif run.fingerprint != first.fingerprint:
            warnings.append(
                f"{first.name} and {run.name} differ in more than their settings: they have test "
                "clips of the same names, but other features, or another division into training "
                "and validation clips. Their numbers do not compare the settings alone."
            )
    return warnings
