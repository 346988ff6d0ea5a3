"""New stores from old ones: several merged, or a subset of one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from preprocessing.errors import SetupError, UsageError
from preprocessing.store.create import write_store
from preprocessing.store.ledger import Entry
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
    provenance = _common_provenance(paths)
    done: dict[str, Entry] = {}
    failed: dict[str, Failure] = {}
    for path in paths:
        for entry in _entries(path):
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
    with StoreFile(path) as file:
        provenance = file.provenance
    entries = [
        entry for entry in _entries(path) if isinstance(entry.item, Record) and wanted(entry.item)
    ]
    if not entries:
        raise UsageError(
            f"{path}: none of its clips is wanted; look at: avcmr features info {path}"
        )
    _copy(entries, [], provenance, out)
    return len(entries)


def _entries(path: Path) -> list[Entry]:
    with StoreFile(path) as file:
        groups: tuple[Sequence[Record | Failure], ...] = (file.records(), file.failures())
        return [Entry(item, path, index) for group in groups for index, item in enumerate(group)]


def _copy(
    entries: Sequence[Entry], failures: Sequence[Failure], provenance: Provenance, out: Path
) -> None:
    records = [entry.item for entry in entries if isinstance(entry.item, Record)]
    write_store(out, provenance, records, stored_blocks(entries, records), failures)


def _common_provenance(paths: Sequence[Path]) -> Provenance:
    found: list[Provenance] = []
    for path in paths:
        with StoreFile(path) as file:
            found.append(file.provenance)
    for path, other in zip(paths, found, strict=True):
        differing = [
            name
            for name in ("config", "weights", "decoder")
            if getattr(other, name) != getattr(found[0], name)
        ]
        if differing:
            name = differing[0]
            raise SetupError(
                f"{path}: its features were made differently from those of {paths[0]} ({name}: "
                f"{getattr(other, name)} and {getattr(found[0], name)}); "
                "extract one of them again with the settings of the other"
            )
    return found[0]


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
