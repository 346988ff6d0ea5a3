"""New stores from old ones: several merged, or a subset of one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from preprocessing.errors import SetupError, UsageError
from preprocessing.store.create import write_store
from preprocessing.store.ledger import Entry, entries_of
from preprocessing.store.merge import stored_blocks
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import StoreFile

Prefer = Literal["first", "last"]


def merge_stores(paths: Sequence[Path], out: Path, *, prefer: Prefer | None = None) -> None:
    """Write all clips of several stores to a new one; later stores follow earlier ones.

    A clip that is in several with the same features is taken once, and one that failed in one and
    is done in another is done.

    ``prefer`` says whose features are taken of a clip whose features differ; None refuses it.

    Raises:
        AvcmrError: features were made differently, or clips differ and ``prefer`` is None.
    """
    opened = [entries_of(path) for path in paths]
    provenance = opened[0][0]
    done: dict[str, Entry] = {}
    failed: dict[str, Failure] = {}
    for path, (made, _) in zip(paths, opened, strict=True):
        _require_same(provenance, made, paths[0], path)
    for _, entries in opened:
        for entry in entries:
            id_ = entry.item.clip.id
            if isinstance(entry.item, Failure):
                failed[id_] = entry.item
            elif id_ not in done or _replaces(entry, done[id_], prefer):
                done[id_] = entry
    failures = [failure for id_, failure in failed.items() if id_ not in done]
    _copy(list(done.values()), failures, provenance, out)


def subset_store(path: Path, out: Path, wanted: Callable[[Record], bool]) -> int:
    """Write the wanted clips of a store to a new one, without its failures; returns their number.

    Raises:
        UsageError: none is wanted.
    """
    provenance, stored = entries_of(path)
    entries = [one for one in stored if isinstance(one.item, Record) and wanted(one.item)]
    if not entries:
        raise UsageError(
            f"{path}: none of its clips is wanted; look at: avcmr features info {path}"
        )
    _copy(entries, [], provenance, out)
    return len(entries)


def _copy(
    entries: Sequence[Entry], failures: Sequence[Failure], provenance: Provenance, out: Path
) -> None:
    records = [entry.item for entry in entries if isinstance(entry.item, Record)]
    write_store(out, provenance, records, stored_blocks(entries, records), failures)


def _require_same(wanted: Provenance, made: Provenance, first: Path, path: Path) -> None:
    for name in ("config", "weights", "decoder"):
        if getattr(made, name) != getattr(wanted, name):
            raise SetupError(
                f"{path}: its features were made differently from those of {first} ({name}: "
                f"{getattr(made, name)} and {getattr(wanted, name)}); "
                "extract one of them again with the settings of the other"
            )


def _replaces(entry: Entry, other: Entry, prefer: Prefer | None) -> bool:
    """Whether a later store's features of a clip replace those of an earlier one."""
    with StoreFile(entry.file) as ours, StoreFile(other.file) as theirs:
        one = ours.block(entry.index, entry.index + 1)
        two = theirs.block(other.index, other.index + 1)
    if np.array_equal(one.visual.values, two.visual.values) and np.array_equal(
        one.audio.values, two.audio.values
    ):
        return False
    if prefer is None:
        raise UsageError(
            f"{entry.file}: clip {entry.item.clip.id!r} has other features than in {other.file}; "
            "say which to take with --prefer first or --prefer last"
        )
    return prefer == "last"
