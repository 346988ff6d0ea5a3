"""A survey of a data set as a table with remarks, or as JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from avcmr.cli.console import console

if TYPE_CHECKING:
    from preprocessing.catalog.datasets import ClassRow, Survey


def show(found: "Survey") -> None:
    """Print classes by splits, and remarks below."""
    console.print(_table(found))
    for remark in _remarks(found):
        console.print(remark, markup=False)


def _table(found: "Survey") -> Table:
    """Classes by splits; ``118/120`` says that 2 of 120 have no file."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, show_edge=False, pad_edge=False)
    rows = found.rows()
    total = rows.pop()

    def cells(row: "ClassRow") -> list[str]:
        counts = [
            f"{row.present[split]:,}"
            + (f"/{row.present[split] + row.missing[split]:,}" if row.missing[split] else "")
            for split in found.splits
        ]
        missing = f"{row.missing.total():,}" if row.missing.total() else "–"
        return [*counts, f"{row.hours:.2f}", missing, str(row.copies or "–")]

    table.add_column("class", footer=total.label)
    names = [*found.splits, "hours", "missing", "copies"]
    for name, footer in zip(names, cells(total), strict=True):
        table.add_column(name, footer=footer, justify="right")
    for row in rows:
        table.add_row(Text(row.label), *cells(row))  # no markup: labels may hold brackets
    return table


def _remarks(found: "Survey") -> list[str]:
    """Remarks that are not in the table, one per line."""
    from preprocessing.catalog.datasets import some

    lines = []
    if found.missing:
        listed = len(found.clips) + len(found.missing)
        lines.append(
            f"no file: {len(found.missing):,} of {listed:,} clips, such as "
            f"{found.missing[0].path}; they are not in the manifest (--json names all)"
        )
    for reason in dict.fromkeys(error.reason for error in found.unreadable.values()):
        ids = [id_ for id_, error in found.unreadable.items() if error.reason == reason]
        lines.append(f"unusable ({reason}): {some(ids)}; extraction will list them as failed")
    unknown = len(found.clips) - len(found.seconds) - len(found.unreadable)
    if unknown:
        lines.append(f"of unknown length: {unknown:,}, not counted in hours")
    mixed = [group[0].id for group in found.copies if len({clip.label for clip in group}) > 1]
    if mixed:
        lines.append(f"duplicates in several classes: {some(mixed)}")
    return [*lines, *found.notes]


def as_json_text(found: "Survey", manifest: Path) -> str:
    """Everything as JSON; missing clips by id."""
    document = {
        "manifest": str(manifest),
        "classes": [
            {
                "label": row.label,
                "present": {split: row.present[split] for split in found.splits},
                "missing": {split: row.missing[split] for split in found.splits},
                "hours": row.hours,
                "copies": row.copies,
            }
            for row in found.rows()
        ],
        "missing": [clip.id for clip in found.missing],
        "unreadable": {
            clip_id: {"reason": error.reason, "message": error.message}
            for clip_id, error in found.unreadable.items()
        },
        "copies": [[clip.id for clip in group] for group in found.copies],
        "in_two_splits": [
            {"split": split, "other": other, "clips": count}
            for (split, other), count in found.in_two_splits.items()
        ],
        "notes": found.notes,
    }
    return json.dumps(document)
