"""Train the two-stage curriculum on extracted features.

One worker trains in this process, on the GPU if there is one; several workers, or a cluster, are a
Ray Train job and compute the same. Settings come from defaults, then the config file, then
key=value pairs. An interrupted run resumes when the same command is given again, with any number
of workers.

Examples:

    avcmr train --features features.h5

    avcmr train --features features.h5 --workers 4 --run wide model.hidden=[1024] stage1.margin=0.3

    avcmr train --features ave.h5 --config ave
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from avcmr.cli.console import ProgressLine, console, warn
from avcmr.cli.options import AddressOption, ConfigOption, OverridesArgument
from preprocessing.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from avcmr.config import Config
    from avcmr.features.dataset import Dataset
    from avcmr.training.history import EpochRecord
    from avcmr.training.run_folder import RunFolder


def command(
    overrides: OverridesArgument = None,
    features: Annotated[
        Path | None, typer.Option(help="Feature store, or a published feature file.")
    ] = None,
    config: ConfigOption = None,
    run: Annotated[
        str | None, typer.Option(help="Name of the run; by default that of the features.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    workers: Annotated[
        int | None, typer.Option(help="Workers; by default one per GPU, or one on the CPU.", min=1)
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Do not use GPUs.")] = False,
    unit: Annotated[
        Literal["clip", "second", "event"] | None,
        typer.Option(help="Train on and retrieve whole clips (default), seconds, or events."),
    ] = None,
    yt8m_pca: Annotated[
        Path | None,
        typer.Option(help="Folder of YouTube-8M's PCA matrices, for model.visual_pca (1024)."),
    ] = None,
    address: AddressOption = None,
) -> None:
    from avcmr.config_files import load_config
    from avcmr.features.dataset import load_dataset
    from avcmr.model.whitening import require_fitting_components
    from avcmr.training.run_folder import RunFolder

    options = [f"data.unit={unit}"] if unit else []
    if yt8m_pca:
        options += ["model.visual_pca=1024", f"model.yt8m_pca={yt8m_pca.resolve()}"]
    settings = load_config(config, [*options, *(overrides or ())])
    path = features or settings.features
    if path is None:
        raise UsageError("give --features FILE, such as the one that avcmr extract wrote")
    settings = settings.model_copy(update={"features": path.resolve()})
    dataset = load_dataset(path, settings.data)
    console.print(f"{path}: {dataset!r}", markup=False)
    warn(dataset.warnings)
    require_fitting_components(len(dataset.train), dataset.train.visual.shape[1], settings.model)
    known_workers = _known_workers(workers, cpu=cpu, address=address)
    note = _batch_note(settings, dataset, known_workers or 1)
    if known_workers and note:
        console.print(note)
    folder = RunFolder(runs / (run or path.stem))
    most_epochs = settings.stage1.max_epochs + settings.stage2.max_epochs
    with folder.opened(settings, dataset):
        if folder.finished:
            console.print("already trained; nothing to do")
        elif needs_ray(workers, cpu=cpu, address=address):
            with ProgressLine("train", most_epochs) as line:
                _train_on_ray(
                    folder,
                    _Narrator(line, settings),
                    workers=workers,
                    cpu=cpu,
                    address=address,
                    batch_note=lambda count: (
                        "" if known_workers else _batch_note(settings, dataset, count)
                    ),
                )
        else:
            with ProgressLine("train", most_epochs) as line:
                _train_here(folder, _Narrator(line, settings), dataset, settings, cpu=cpu)
    best = folder.load("best").metadata
    console.print(
        f"best validation MAP {best['val_map']:.4f}, in stage {best['stage']}, "
        f"epoch {best['epoch']}. Next: avcmr evaluate {folder.path}",
        markup=False,
    )
    print(folder.path)


def needs_ray(workers: int | None, *, cpu: bool, address: str | None) -> bool:
    """Whether there are several workers or a cluster; one worker trains in this process."""
    known = _known_workers(workers, cpu=cpu, address=address)
    return known is None or known > 1 or _names_cluster(address)


def _known_workers(workers: int | None, *, cpu: bool, address: str | None) -> int | None:
    """How many workers there will be; None where a cluster has yet to be asked."""
    import torch

    if workers or _names_cluster(address):
        return workers
    return 1 if cpu else max(torch.cuda.device_count(), 1)


def _names_cluster(address: str | None) -> bool:
    return bool(address or os.environ.get("RAY_ADDRESS"))


def _batch_note(settings: "Config", dataset: "Dataset", workers: int) -> str:
    """That the batches are of another size than set, and why; empty if they are not.

    Raises:
        UsageError: no batch size suits the clips, classes and workers.
    """
    from avcmr.training.batches import global_batch_size

    clips = len(dataset.train)
    size = global_batch_size(settings, dataset.train, workers=workers)
    if size == settings.batch_size:
        return ""
    reasons = [f"there are {clips} training clips"] if settings.batch_size > clips else []
    reasons += [f"{workers} workers share it evenly"] if workers > 1 else []
    return f"batch_size {settings.batch_size} → {size}: {', and '.join(reasons)}"


def _train_here(
    folder: "RunFolder", narrator: "_Narrator", dataset: "Dataset", settings: "Config", *, cpu: bool
) -> None:
    import torch

    from avcmr.training.loop import train
    from raytasks.monitoring.status import Activity, announced

    gpu = torch.cuda.is_available() and not cpu
    device = torch.device("cuda" if gpu else "cpu")
    narrator.say(f"training in this process, on the {'GPU' if gpu else 'CPU'}")
    last = folder.history()[-1:]
    with announced(Activity("training", folder.path.name, last[0] if last else {})) as announce:

        def on_epoch(record: "EpochRecord") -> None:
            announce(record)
            narrator(record)

        train(dataset, settings, folder, device=device, on_epoch=on_epoch)


def _train_on_ray(
    folder: "RunFolder",
    narrator: "_Narrator",
    *,
    workers: int | None,
    cpu: bool,
    address: str | None,
    batch_note: "Callable[[int], str]",
) -> None:
    from raytasks.cluster import connected
    from raytasks.train import WorkerPlan, train_on_ray

    narrator.say("starting Ray …")
    with connected(address) as cluster:
        plan = WorkerPlan.fitting(cluster, workers, cpu=cpu)
        narrator.say(f"Ray: {cluster}")
        if plan.note:
            narrator.say(f"note: {plan.note}")
        if note := batch_note(plan.workers):
            narrator.say(note)
        train_on_ray(folder, plan, narrator, say=narrator.say)


class _Narrator:
    """Shows each epoch and the end of each stage; warns once of a collapsed embedding space."""

    def __init__(self, line: ProgressLine, settings: "Config") -> None:
        self.say = line.say
        self._stage2 = settings.stage2.description
        self._line = line
        self._collapsed = False

    def __call__(self, record: "EpochRecord") -> None:
        state = (
            f"epoch {record['epoch']}, stage {record['stage']}, loss {record['loss']:.4f} "
            f"({record['active_triplets']:.0%} of triplets active), "
            f"val MAP {record['val_map_audio_to_visual']:.3f} a→v "
            f"{record['val_map_visual_to_audio']:.3f} v→a, best {record['best']:.3f}"
        )
        self._line.update(record["epoch"], state)
        self._warn_of_collapse(record)
        if record["verdict"] == "switch":
            self.say(f"stage 1 ends after {state}")
            self.say(f"stage 2 begins at the best weights: {self._stage2}")
        elif record["verdict"] == "stop":
            self.say(f"stage {record['stage']} ends after {state}")

    def _warn_of_collapse(self, record: "EpochRecord") -> None:
        from avcmr.metrics.collapse import COLLAPSED_BELOW

        spread = record["distance_spread"]
        if self._collapsed or spread >= COLLAPSED_BELOW:
            return
        self._collapsed = True
        self.say(
            f"warning: the embedding space collapsed in epoch {record['epoch']}, stage "
            f"{record['stage']}: all clips are equally far from a query (their distances vary by "
            f"{spread:.3f}, in healthy runs by more than {COLLAPSED_BELOW}). The best weights so "
            "far are kept. Hard triplets do this to a network that has not learned from semi-hard "
            "ones: use stage1.mining=semi_hard, more epochs in stage 1, or a lower learning_rate"
        )
