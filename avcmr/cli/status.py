"""What extractions and trainings on this machine's Ray do now, from any shell.

Reads what Ray's dashboard, Prometheus and Grafana read, some seconds old. On a cluster give it on
the head node. Exit code 1 if nothing runs.

Examples:

    avcmr status

    avcmr status --watch
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from raytasks.status import Reading

SECONDS_BETWEEN = 2.0


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Show it until Ctrl-C.")] = False,
) -> None:
    from raytasks.status import readings  # noqa: PLC0415

    if watch:
        with Live(console=Console(), auto_refresh=False) as live:
            while True:
                live.update(_shown(readings()), refresh=True)
                time.sleep(SECONDS_BETWEEN)
    found = readings()
    Console().print(_shown(found))
    raise typer.Exit(0 if found else 1)


def _shown(found: "list[Reading]") -> Group:
    if not found:
        return Group("nothing runs: no extraction, no training")
    return Group(*(table for reading in found for table in _tables(reading)))


def _tables(reading: "Reading") -> "list[Table]":
    tables = []
    if (left := reading.total("clips_left")) is not None:
        tables.append(_extraction(reading, left))
    tables += [_training(run, reading.only("run", run)) for run in reading.by("train_epoch", "run")]
    return tables


def _extraction(reading: "Reading", left: float) -> Table:
    table = Table(title="extraction", show_header=False)
    outcomes = reading.by("clips_total", "outcome")
    rate = reading.total("clips_per_second") or 0.0
    table.add_row("clips done", f"{outcomes.pop('done', 0):,.0f}")
    table.add_row("clips failed", f"{sum(outcomes.values()):,.0f}")
    for reason, count in sorted(outcomes.items()):
        table.add_row(f"  {reason}", f"{count:,.0f}")
    eta = f", about {left / rate:,.0f} s" if rate else ""
    table.add_row("clips left", f"{left:,.0f}{eta}")
    table.add_row("speed", f"{rate:.2f} clips/s")
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


def _training(run: str, reading: "Reading") -> Table:
    table = Table(title=f"training of {run}", show_header=False)
    values = {
        name: reading.total(f"train_{name}") or 0.0
        for name in ("epoch", "stage", "loss", "active_triplets", "seconds")
    }
    table.add_row("epoch", f"{values['epoch']:.0f}, stage {values['stage']:.0f}")
    table.add_row("loss", f"{values['loss']:.4f}")
    table.add_row("active triplets", f"{values['active_triplets']:.0%}")
    for direction, reached in reading.by("train_val_map", "direction").items():
        table.add_row(f"val MAP {direction.replace('_to_', ' → ')}", f"{reached:.3f}")
    table.add_row("time an epoch", f"{values['seconds']:.1f} s")
    return table


def _listed(counts: dict[str, float]) -> str:
    return ", ".join(f"{count:.0f} {what}" for what, count in counts.items() if count) or "none"
