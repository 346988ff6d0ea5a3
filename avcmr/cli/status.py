"""Show how far extractions and trainings are, on this machine or on a cluster.

Works in any shell. Exit code 1 if nothing runs.

Examples:

    avcmr status

    avcmr status --watch

    avcmr status --address ray://head:10001
"""

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from avcmr.cli.options import AddressOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raytasks.monitoring.status import Activity

REFRESH_SECONDS = 2.0
"""How often --watch looks."""


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Show it until Ctrl-C.")] = False,
    address: AddressOption = None,
) -> None:
    from raytasks.monitoring.status import running

    with running(address or os.environ.get("RAY_ADDRESS")) as look:
        if watch:
            with Live(console=Console(), auto_refresh=False) as live:
                while True:
                    live.update(_shown(look()), refresh=True)
                    time.sleep(REFRESH_SECONDS)
        found = look()
    Console().print(_shown(found))
    raise typer.Exit(0 if found else 1)


def _shown(activities: "list[Activity]") -> Group:
    if not activities:
        return Group("nothing runs: no extraction, no training")
    return Group(*map(_table, activities))


def _table(activity: "Activity") -> Table:
    preposition = "to" if activity.kind == "extraction" else "of"
    title = Text(f"{activity.kind} {preposition} {activity.name}")
    table = Table(title=title, show_header=False)
    fill = _fill_extraction if activity.kind == "extraction" else _fill_training
    if activity.state:
        fill(table, activity.state)
    else:
        table.add_row("starting", "nothing measured yet")
    return table


def _fill_extraction(table: Table, state: "Mapping[str, Any]") -> None:
    """Rows for a ``Progress.summary()``."""
    table.add_row("clips done", f"{state['done']:,}")
    table.add_row("clips failed", f"{sum(state['reasons'].values()):,}")
    for reason, count in sorted(state["reasons"].items()):
        table.add_row(f"  {reason}", f"{count:,}")
    rate = state["clips_per_second"]
    eta = f", about {state['left'] / rate:,.0f} s" if rate else ""
    table.add_row("clips left", f"{state['left']:,}{eta}")
    table.add_row("speed", f"{rate:.2f} clips/s, {state['frames_per_second']:.1f} frames/s")
    waiting = {f"for {name}": count for name, count in state["queues"].items()}
    table.add_row("clips waiting", _listed(waiting))
    for kind, phases in state["phases"].items():
        if any(phases.values()):
            table.add_row(f"{kind}s", _listed(phases))


def _fill_training(table: Table, epoch: "Mapping[str, Any]") -> None:
    """Rows for an epoch, a line of ``metrics.jsonl``."""
    table.add_row("epoch", f"{epoch['epoch']}, stage {epoch['stage']}")
    table.add_row("loss", f"{epoch['loss']:.4f}")
    table.add_row("active triplets", f"{epoch['active_triplets']:.0%}")
    for direction in ("audio_to_visual", "visual_to_audio"):
        name = direction.replace("_to_", " → ")
        table.add_row(f"val MAP {name}", f"{epoch[f'val_map_{direction}']:.3f}")
    table.add_row("time per epoch", f"{epoch['seconds']:.1f} s")


def _listed(counts: "Mapping[str, int]") -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none"
