"""What extractions and trainings on this machine, or on a cluster, do now.

Reads in any shell what Ray's dashboard, Prometheus and Grafana read, some seconds old, and how far
trainings are that need no Ray. Exit code 1 if nothing runs.

Examples:

    avcmr status

    avcmr status --watch

    avcmr status --address ray://head:10001
"""

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from raytasks.monitoring.status import Reading

SECONDS_BETWEEN_LOOKS = 2.0
"""How often --watch looks."""


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Show it until Ctrl-C.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster; also $RAY_ADDRESS. Default: this machine's.")
    ] = None,
) -> None:
    with _looking(address or os.environ.get("RAY_ADDRESS")) as look:
        if watch:
            with Live(console=Console(), auto_refresh=False) as live:
                while True:
                    live.update(_shown(look()), refresh=True)
                    time.sleep(SECONDS_BETWEEN_LOOKS)
        found = look()
    Console().print(_shown(found))
    raise typer.Exit(0 if found else 1)


def _shown(tables: list[Table]) -> Group:
    return Group(*tables) if tables else Group("nothing runs: no extraction, no training")


@contextmanager
def _looking(address: str | None) -> "Iterator[Callable[[], list[Table]]]":
    if address:
        from raytasks.monitoring.remote_status import reader

        with reader(address) as read:
            yield lambda: _on_ray(read())
    else:
        from raytasks.monitoring.status import readings

        yield lambda: [*_on_ray(readings()), *_without_ray()]


def _on_ray(found: "list[Reading]") -> list[Table]:
    tables: list[Table] = []
    for reading in found:
        if (left := reading.total("clips_left")) is not None:
            tables.append(_extraction(reading, left))
        runs = {run: reading.only("run", run) for run in reading.by("train_epoch", "run")}
        tables += [_training(run, _last_epoch(of_it)) for run, of_it in runs.items()]
    return tables


def _without_ray() -> list[Table]:
    from avcmr.training.run_folder import trainings

    tables = []
    for path in trainings():
        from avcmr.training.run_folder import RunFolder

        epochs = RunFolder(path).history()
        tables.append(_training(path.name, epochs[-1] if epochs else None))
    return tables


def _extraction(reading: "Reading", left: float) -> Table:
    table = Table(title="extraction", show_header=False)
    outcomes = reading.by("clips_total", "outcome")
    rate = reading.total("clips_per_second") or 0.0
    # Both are means since the start, which rate and number of clips tell.
    clips = sum(outcomes.values())
    frames = (reading.total("frames_total") or 0.0) * rate / clips if clips else 0.0
    table.add_row("clips done", f"{outcomes.pop('done', 0):,.0f}")
    table.add_row("clips failed", f"{sum(outcomes.values()):,.0f}")
    for reason, count in sorted(outcomes.items()):
        table.add_row(f"  {reason}", f"{count:,.0f}")
    eta = f", about {left / rate:,.0f} s" if rate else ""
    table.add_row("clips left", f"{left:,.0f}{eta}")
    table.add_row("speed", f"{rate:.2f} clips/s, {frames:.1f} frames/s")
    queues = reading.by("queue_clips", "queue")
    table.add_row("clips that wait", _listed({f"for {name}": n for name, n in queues.items()}))
    for kind in sorted(reading.by("processes", "kind")):
        doing = reading.only("kind", kind).by("processes", "phase")
        if any(doing.values()):
            table.add_row(f"{kind}s", _listed(doing))
    for what in ("decode", "network"):
        if (seconds := reading.total(f"{what}_seconds_total")) is not None:
            table.add_row(f"{what} time", f"{seconds:,.1f} s in all processes")
    if memory := reading.total("gpu_memory_bytes"):
        table.add_row("GPU memory", f"{memory / 2**30:.1f} GiB")
    return table


def _last_epoch(reading: "Reading") -> dict[str, float]:
    """What is shown of a line of ``metrics.jsonl``, from the metrics of one run.

    A worker that died is seen for some seconds beside the one that goes on: hence the maxima.
    """
    names = ("epoch", "stage", "loss", "active_triplets", "seconds")
    reached = reading.by("train_val_map", "direction", max)
    return {name: reading.total(f"train_{name}", max) or 0.0 for name in names} | {
        f"val_map_{direction}": value for direction, value in reached.items()
    }


def _training(run: str, epoch: "Mapping[str, float] | None") -> Table:
    """Of its last epoch; None before the end of the first."""
    table = Table(title=Text(f"training of {run}"), show_header=False)
    if epoch is None:
        table.add_row("epoch", "in the first")
        return table
    table.add_row("epoch", f"{epoch['epoch']:.0f}, stage {epoch['stage']:.0f}")
    table.add_row("loss", f"{epoch['loss']:.4f}")
    table.add_row("active triplets", f"{epoch['active_triplets']:.0%}")
    for direction in ("audio_to_visual", "visual_to_audio"):
        reached = epoch.get(f"val_map_{direction}", 0.0)
        table.add_row(f"val MAP {direction.replace('_to_', ' → ')}", f"{reached:.3f}")
    table.add_row("time an epoch", f"{epoch['seconds']:.1f} s")
    return table


def _listed(counts: dict[str, float]) -> str:
    return ", ".join(f"{count:.0f} {what}" for what, count in counts.items() if count) or "none"
