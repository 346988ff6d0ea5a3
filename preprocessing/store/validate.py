"""Check a store for damage and for what has changed since, without trusting it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import SetupError
from preprocessing.store.blocks import LARGEST, Block, Rows, usable
from preprocessing.store.plan import ABSENT, source_of
from preprocessing.store.records import Record
from preprocessing.store.storefile import StoreFile

Kind = Literal["offsets", "duplicate_id", "not_finite", "zero_row", "mean", "changed", "weights"]

REMEDIES: Mapping[Kind, str] = {
    "offsets": "the file is damaged: extract or import it again",
    "duplicate_id": "fix the program that wrote the file, so that each clip has an id of its own",
    "not_finite": "leave these clips out (avcmr features subset or import, with --finite), or "
    "extract their features again",
    "zero_row": "silence, black frames, or a fault of the extractor: look at these clips",
    "mean": "the file was changed after it was written: extract or import it again",
    "changed": "run avcmr extract again, which redoes these clips; or import them again",
    "weights": "run avcmr extract again, which redoes all clips; or give --weights the folder "
    "of the weights that were used",
}
"""What to do about each kind of finding."""

_CLIPS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: ``offsets`` (tables and rows do not fit together), ``duplicate_id``, ``not_finite``
            (NaN, infinity or overflow), ``zero_row`` (a row of zeros only), ``mean`` (a stored
            mean is not that of its rows), ``changed`` (the clip's file is another one now) or
            ``weights`` (a network has others now).
        id: the clip's id; empty where it is not about one clip.
        message: what, in one line.
    """

    kind: Kind
    id: str
    message: str


def validate_store(
    path: Path, weights_now: Callable[[str], str | None] | None = None
) -> list[Finding]:
    """All that is wrong in a store. Missing files are no finding: features outlive them.

    ``weights_now`` gives the sha256 of the weights that a network would have now, or None where
    that is not known. Networks that had random weights are not compared.

    Raises:
        NotAStoreError: it is something else, or damaged beyond reading.
    """
    with StoreFile(path) as file:
        findings = [Finding("offsets", "", fault) for fault in file.faults()]
        if findings:
            return findings  # rows cannot be assigned to clips then
        records = file.records()
        file.failures()  # raises where they are damaged
        if weights_now:
            findings += _other_weights(file.provenance.weights, weights_now)
        findings += duplicates([record.clip.id for record in records])
        means = file.means()
        for first in range(0, len(records), _CLIPS_AT_ONCE):
            block = file.block(first, min(first + _CLIPS_AT_ONCE, len(records)))
            span = slice(first, first + len(block.visual))
            ids = [record.clip.id for record in records[span]]
            findings += row_findings(ids, block)
            for stream, rows, stored in (
                ("visual", block.visual, means[0][span]),
                ("audio", block.audio, means[1][span]),
            ):
                findings += _wrong_means(ids, stream, rows, stored)
        findings += _changed(records)
    return findings


def row_findings(ids: Sequence[str], block: Block) -> Iterator[Finding]:
    """Values that no network outputs: NaN, infinity, overflow, and rows of zeros only."""
    for stream, rows in (("visual", block.visual), ("audio", block.audio)):
        counts = np.diff(rows.offsets)
        owners = np.repeat(np.arange(len(rows)), counts)  # (ΣT,)
        cases: tuple[tuple[Kind, NDArray[np.intp], str], ...] = (
            (
                "not_finite",
                np.flatnonzero(~usable(rows.values)),
                f"with NaN, infinity or beyond {LARGEST:g}",
            ),
            ("zero_row", np.flatnonzero(~rows.values.any(axis=1)), "of zeros only"),
        )
        for kind, bad, what in cases:
            for index, count in zip(*np.unique(owners[bad], return_counts=True), strict=True):
                message = f"{count} of {counts[index]} {stream} rows {what}"
                yield Finding(kind, ids[index], message)


def not_finite(ids: Sequence[str], blocks: Iterable[tuple[int, Block]]) -> set[str]:
    """Ids of the clips with NaN, infinity or overflow.

    Args:
        ids: of all clips.
        blocks: their rows: (index of the first clip, block).
    """
    return {
        finding.id
        for first, block in blocks
        for finding in row_findings(ids[first : first + len(block.visual)], block)
        if finding.kind == "not_finite"
    }


def refuse_not_finite(
    path: Path, ids: Sequence[str], command: Literal["subset", "import"] = "subset"
) -> None:
    """Raise a SetupError that names these clips of a file, if there are any.

    Args:
        path: the file.
        ids: of the clips with NaN, infinity or overflow.
        command: the one that reads such a file and can leave the clips out.
    """
    if ids:
        more = f" and {len(ids) - 5:,} more" if len(ids) > 5 else ""
        raise SetupError(
            f"{path}: NaN, infinity or overflow in the features of {len(ids):,} clip"
            f"{'s' if len(ids) > 1 else ''} ({', '.join(ids[:5])}{more}); list them: avcmr "
            f"features validate {path}; extract them again, or leave them out: avcmr features "
            f"{command} {path} --finite --out finite.h5"
        )


def duplicates(ids: Iterable[str]) -> Iterator[Finding]:
    """Ids that several clips share."""
    for id_, count in Counter(ids).items():
        if count > 1:
            yield Finding("duplicate_id", id_, f"{count} clips share this id")


def _other_weights(
    then: Mapping[str, str], weights_now: Callable[[str], str | None]
) -> Iterator[Finding]:
    for name, sha256 in then.items():
        now = None if sha256.startswith("untrained") else weights_now(name)
        if now not in {None, sha256}:
            yield Finding("weights", "", f"made with {name} {sha256[:16]}…, here it is {now[:16]}…")


def _wrong_means(
    ids: list[str], stream: str, rows: Rows, stored: NDArray[np.float32]
) -> Iterator[Finding]:
    near = np.isclose(stored, rows.means(), rtol=1e-4, atol=1e-5, equal_nan=True).all(axis=1)
    for index in np.flatnonzero(~near).tolist():
        yield Finding("mean", ids[index], f"the stored {stream} mean is not that of its rows")


def _changed(records: list[Record]) -> Iterator[Finding]:
    now = {path: source_of(path) for path in {record.clip.path for record in records}}
    for record in records:
        source, then = now[record.clip.path], record.source
        if source != ABSENT and (source.size, source.mtime) != (then.size, then.mtime):
            what = "modification time" if source.size == then.size else "size"
            yield Finding("changed", record.clip.id, f"{record.clip.path} has another {what} now")
