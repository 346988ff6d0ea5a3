"""A comparison as a table for the terminal, a spreadsheet or a document."""

import csv
from collections.abc import Sequence
from io import StringIO
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table

from avcmr.comparison.published import Published
from avcmr.comparison.statistics import Summary

_INTERVAL_NOTE = "± is half the 95% interval over seeds (Student's t)."
_PAIRED_NOTE = (
    "Minus ours: 95% interval of the difference of averages on the same test clips (bootstrap over "
    "clips and seeds)."
)
_JOINT_NOTE = "Joint input uses both modalities of a test pair, which is another task."
_COLLAPSE_NOTE = "* the embedding space collapsed in training."


def rich_table(summaries: Sequence[Summary], title: str) -> Table:
    """Methods by category, best first; fits into 80 columns."""
    table = Table(
        title=title,
        caption="\n".join(_notes(summaries)),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("method", no_wrap=True)
    for name in ("a → v", "v → a", "average", "minus ours", "cosine", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for category, group in groupby(summaries, key=lambda one: one.category):
        table.add_row(category, style="italic")
        for one in group:
            directions = (one.audio_to_visual, one.visual_to_audio)
            table.add_row(
                f" {_name(one)}",
                *(f"{estimate.mean:.3f}" for estimate in directions),
                str(one.average),
                str(one.against_ours or ""),
                str(one.by_cosine),
                f"{one.seconds:.0f}",
            )
    return table


def published_table(published: Sequence[Published]) -> Table:
    """Published numbers, and where they were read."""
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
    summaries: Sequence[Summary], published: Sequence[Published] = (), warnings: Sequence[str] = ()
) -> str:
    """The same rows as Markdown, below the warnings."""
    lines = [
        *(f"**{warning}**\n" for warning in warnings),
        "| method | category | MAP audio → visual | visual → audio | average | minus ours "
        "| average by cosine | seeds | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join((_name(one), one.category, *_cells(one)))} |" for one in summaries),
        *(
            f"| {other.method} (published: {other.read_in}) | {other.category} "
            f"| {other.audio_to_visual:.3f} | {other.visual_to_audio:.3f} "
            f"| {(other.audio_to_visual + other.visual_to_audio) / 2:.3f} | | | | |"
            for other in published
        ),
    ]
    return "\n".join(lines) + f"\n\n{' '.join(_notes(summaries))}\n"


def csv_table(summaries: Sequence[Summary]) -> str:
    """A line per method: means, and half widths of the 95% intervals (empty for one run)."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    estimates = ("audio_to_visual", "visual_to_audio", "average", "by_cosine")
    paired = ("mean", "low", "high")
    columns = [f"{name}{suffix}" for name in estimates for suffix in ("", "_margin")]
    columns += [f"minus_ours_{name}" for name in paired]
    writer.writerow(["method", "category", "runs", "collapsed", *columns, "seconds"])
    for one in summaries:
        values = [
            value
            for name in estimates
            for value in (getattr(one, name).mean, getattr(one, name).margin)
        ]
        values += [getattr(one.against_ours, name, None) for name in paired]
        writer.writerow([one.method, one.category, one.runs, one.collapsed, *values, one.seconds])
    return text.getvalue()


def _cells(one: Summary) -> tuple[str, ...]:
    return (
        *map(str, (one.audio_to_visual, one.visual_to_audio, one.average)),
        str(one.against_ours or ""),
        str(one.by_cosine),
        str(one.runs),
        f"{one.seconds:.1f}",
    )


def _name(one: Summary) -> str:
    return f"{one.method}{'*' if one.collapsed else ''}"


def _notes(summaries: Sequence[Summary]) -> list[str]:
    collapsed = any(one.collapsed for one in summaries)
    return [_INTERVAL_NOTE, _PAIRED_NOTE, _JOINT_NOTE, *([_COLLAPSE_NOTE] if collapsed else [])]
