"""Manifests: CSV files with one row per clip."""

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path, PurePosixPath

from preprocessing.clips import SPLITS, Clip, refuse_duplicate_ids
from preprocessing.errors import AvcmrError, NotFoundError, SetupError, faults_in
from preprocessing.remote import media_path


def read_manifest(path: Path) -> list[Clip]:
    """Clips of a CSV file with the columns ``path,label`` and optionally ``id,split,start,end``,
    ``event_start,event_end`` and ``source``.

    Paths are relative to the CSV file, or URLs. Other columns are ignored, unless the name of one
    resembles a missing column's. Without an ``id`` column the id is the path as written, without
    suffix, plus the cut if there is one.

    Raises:
        AvcmrError: no such file, columns missing or mistyped, or bad rows (a few are named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _refuse_mistyped(reader.fieldnames or (), path)
            absent = {"path", "label"} - set(reader.fieldnames or ())
            if absent:
                raise SetupError(
                    f"{path}: no column {' and '.join(sorted(absent))}; "
                    "the first line must name the columns: path,label[,id,split,start,end]"
                )
            rows = list(reader)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such manifest file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path}: not a UTF-8 CSV file ({error})") from None

    clips, faults = [], []
    for number, row in enumerate(rows, start=2):  # line 1 holds the column names
        try:
            clips.append(_clip_of_row(row, path.parent))
        except (ValueError, AvcmrError) as error:
            faults.append(f"line {number}: {error}")
    if faults:
        raise faults_in(path, faults)
    if not clips:
        raise SetupError(f"{path}: no rows below the column names; add one line per clip")
    refuse_duplicate_ids(clips, path)
    return clips


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
    with aside.open("w", encoding="utf-8", newline="") as file:
        columns = [column.name for column in fields(Clip)]
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    aside.replace(path)


def _refuse_mistyped(columns: Sequence[str], where: Path) -> None:
    """Refuse columns that look like typos: ignoring ``splt`` would silently divide the clips."""
    absent = [column.name for column in fields(Clip) if column.name not in columns]
    for column in columns:
        name = column.strip().lower()
        # Names of three letters are too easily similar: idx, uid.
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.8 if len(name) > 3 else 1)
        if near:
            raise SetupError(
                f"{where}: a manifest has no column {column!r}; did you mean {near[0]}? Rename "
                "it; a column of your own needs a name that is less similar"
            )


def _clip_of_row(row: dict[str, str | None], root: Path) -> Clip:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

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
