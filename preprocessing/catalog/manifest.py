"""Manifests: CSV files with one row per clip."""

import csv
import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path, PurePosixPath

from preprocessing.catalog.text import read_text
from preprocessing.clips import SPLITS, Clip, refuse_duplicate_ids
from preprocessing.errors import AvcmrError, SetupError, faults_in
from preprocessing.remote import media_path

_SEPARATORS = (",", ";", "\t")

_Row = dict[str, str]
"""Cells by column, without the blanks around them."""


def read_manifest(path: Path) -> list[Clip]:
    """Clips of a CSV file with the columns ``path,label`` and optionally ``id,split,start,end``,
    ``event_start,event_end`` and ``source``, separated by commas, semicolons or tabs.

    Paths are relative to the CSV file, or URLs. Blank lines and other columns are ignored, unless
    the name of one resembles a missing column's. Without an ``id`` column the id is the path as
    written, without suffix, plus the cut if there is one.

    Raises:
        AvcmrError: no such file, columns missing, mistyped or given twice, or bad rows (a few
            are named).
    """
    lines = _lines(path)
    columns = _columns(lines, path)
    clips, faults = [], []
    for line, cells in lines:
        try:
            clips.append(_clip_of_row(_by_column(columns, cells), path.parent))
        except (ValueError, AvcmrError) as error:
            faults.append(f"line {line}: {error}")
    if faults:
        raise faults_in(path, faults)
    if not clips:
        raise SetupError(f"{path}: no rows below the column names; add one line per clip")
    refuse_duplicate_ids(clips, path)
    return clips


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, and its cells."""
    text = read_text(path, "manifest file")
    reader = csv.reader(StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise SetupError(
                f"{path}: line {line}: not CSV ({error}); a quoted cell begins and ends with "
                '", and a " inside it is doubled'
            ) from None
        if any(cells):
            yield line, cells


def _separator(text: str) -> str:
    """What separates the column names."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    columns = {one: {name.strip(' "') for name in header.split(one)} for one in _SEPARATORS}
    return max(_SEPARATORS, key=lambda one: ({"path", "label"} <= columns[one], len(columns[one])))


def _columns(lines: Iterator[tuple[int, list[str]]], path: Path) -> list[str]:
    """The column names: the first line, up to the last name."""
    _, columns = next(lines, (1, []))
    while columns and not columns[-1]:
        columns.pop()
    _refuse_mistyped(columns, path)
    absent = {"path", "label"} - set(columns)
    if absent:
        raise SetupError(
            f"{path}: no column {' and '.join(sorted(absent))}; "
            "the first line must name the columns: path,label[,id,split,start,end]"
        )
    return columns


def _by_column(columns: Sequence[str], cells: Sequence[str]) -> _Row:
    if any(cells[len(columns) :]):
        raise ValueError(
            f"{len(cells)} cells for {len(columns)} columns; put quotes around a cell that "
            'contains a separator: "Male speech, man speaking"'
        )
    return dict(zip(columns, cells, strict=False))


def write_manifest(path: Path, clips: Sequence[Clip]) -> None:
    """Write the CSV file that :func:`read_manifest` reads, atomically.

    Paths inside the CSV file's folder are written relative to it, so that both can be moved.

    Raises:
        SetupError: a clip's path is not UTF-8.
    """
    folder = path.parent.absolute()
    rows = []
    for clip in clips:
        media = clip.path.absolute()
        if isinstance(media, Path) and media.is_relative_to(folder):
            media = media.relative_to(folder)
        try:
            str(media).encode()
        except UnicodeEncodeError:
            raise SetupError(f"{str(media)!r}: a name that is not UTF-8; rename it") from None
        rows.append(asdict(clip) | {"path": media})
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            columns = [column.name for column in fields(Clip)]
            table = csv.DictWriter(file, columns, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _refuse_mistyped(columns: Sequence[str], where: Path) -> None:
    """Refuse columns given twice, and those that look like typos.

    Ignoring ``splt`` would divide the clips without a word.
    """
    known = [column.name for column in fields(Clip)]
    folded = [column.lower() for column in columns]
    twice = [name for name in known if name in columns and folded.count(name) > 1]
    if twice:
        raise SetupError(
            f"{where}: the column {twice[0]} is given twice; remove or rename one of the two"
        )
    absent = [name for name in known if name not in columns]
    for column in columns:
        name = column.lower()
        # Names of three letters are too easily similar: idx, uid.
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.8 if len(name) > 3 else 1)
        if near:
            raise SetupError(
                f"{where}: a manifest has no column {column!r}; did you mean {near[0]}? Rename "
                "it; a column of your own needs a name that is less similar"
            )


def _clip_of_row(row: _Row, root: Path) -> Clip:
    def cell(column: str) -> str:
        return row.get(column, "")

    def seconds(column: str) -> float | None:
        if not cell(column):
            return None
        try:
            value = float(cell(column))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{column} is {cell(column)}; give seconds, 0 or more")
        return value

    for column in ("path", "label"):
        if not cell(column):
            raise ValueError(f"no {column} is given")
    split = cell("split").lower()
    if split and split not in SPLITS:
        raise ValueError(f"split is {split!r}; use train, val, test or leave it empty")
    start, end = seconds("start"), seconds("end")
    event_start, event_end = seconds("event_start"), seconds("event_end")
    for prefix, first, last in (("", start, end), ("event_", event_start, event_end)):
        if last is not None and last <= (first or 0):
            raise ValueError(
                f"{prefix}end ({last:g}) must be later than {prefix}start ({first or 0:g})"
            )
    cut = "" if start is None and end is None else f"@{start or 0:g}-{'' if end is None else end}"
    path = media_path(cell("path"))
    name = cell("path") if isinstance(path, Path) else cell("path").partition("://")[2]
    return Clip(
        id=cell("id") or PurePosixPath(name).with_suffix("").as_posix() + cut,
        path=root / path if isinstance(path, Path) else path,
        label=cell("label"),
        split=split,
        start=start,
        end=end,
        event_start=event_start,
        event_end=event_end,
        source=cell("source"),
    )
