"""A comparison as tables for people, spreadsheets and documents."""

import csv
from collections.abc import Sequence
from io import StringIO
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table

from avcmr.comparison import Summary
from avcmr.published import Published

INTERVAL_NOTE = "± is half the 95% interval over seeds (Student's t)."
JOINT_NOTE = "Joint input sees both modalities of a test pair, which is another task."


def rich_table(summaries: Sequence[Summary], title: str) -> Table:
    """By category, the best first; fits into 80 columns."""
    table = Table(
        title=title,
        caption=f"{INTERVAL_NOTE}\n{JOINT_NOTE}",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for name in ("a → v", "v → a", "average", "seeds", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for category, group in groupby(summaries, key=lambda one: one.category):
        table.add_row(category, style="italic")
        for one in group:
            table.add_row(f" {one.method}", *_cells(one))
    return table


def published_table(published: Sequence[Published]) -> Table:
    """What others have published, and where that was read."""
    table = Table(title="Published, not measured here", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for name in ("a → v", "v → a"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("read in")
    for one in published:
        joint = "; joint input" if one.category == "joint input" else ""
        maps = (f"{one.audio_to_visual:.3f}", f"{one.visual_to_audio:.3f}")
        table.add_row(f" {one.method}", *maps, one.read_in + joint)
    return table


def markdown_table(
    summaries: Sequence[Summary],
    published: Sequence[Published] = (),
    warnings: Sequence[str] = (),
) -> str:
    """The same rows for a document, below what its reader must know first."""
    lines = [
        *(f"**{warning}**\n" for warning in warnings),
        "| method | category | MAP audio → visual | visual → audio | average | seeds | seconds |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join((one.method, one.category, *_cells(one)))} |" for one in summaries),
        *(
            f"| {other.method} (published: {other.read_in}) | {other.category} "
            f"| {other.audio_to_visual:.3f} | {other.visual_to_audio:.3f} "
            f"| {(other.audio_to_visual + other.visual_to_audio) / 2:.3f} | | |"
            for other in published
        ),
    ]
    return "\n".join(lines) + f"\n\n{INTERVAL_NOTE} {JOINT_NOTE}\n"


def csv_table(summaries: Sequence[Summary]) -> str:
    """A line a method: means, and half widths of the 95% intervals (empty for one run)."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    directions = ("audio_to_visual", "visual_to_audio", "average")
    columns = [f"{name}{suffix}" for name in directions for suffix in ("", "_margin")]
    writer.writerow(["method", "category", "runs", *columns, "seconds"])
    for one in summaries:
        values = [
            value
            for name in directions
            for value in (getattr(one, name).mean, getattr(one, name).margin)
        ]
        writer.writerow([one.method, one.category, one.runs, *values, one.seconds])
    return text.getvalue()


def _cells(one: Summary) -> tuple[str, ...]:
    estimates = (one.audio_to_visual, one.visual_to_audio, one.average)
    return *map(str, estimates), str(one.runs), f"{one.seconds:.1f}"
