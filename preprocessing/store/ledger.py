"""The newest record of each clip, over a store and its parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.store.parts import Parts
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import NotAStoreError, StoreFile, in_the_way


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and where it lies: at ``index`` of the clips or failures of ``file``."""

    item: Record | Failure
    file: Path
    index: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every clip the store knows.

    Attributes:
        entries: id → its newest entry of the current provenance.
        stale: ids known under another provenance → whether there are features of them.
        files: files of the current provenance, oldest first.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    stale: dict[str, bool] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_ledger(parts: Parts, provenance: Provenance) -> Ledger:
    """Read the store and its parts, oldest first. A part that cannot be read is set aside.

    Raises:
        NotAStoreError: ``features.h5`` itself is something else.
    """
    ledger = Ledger()
    if parts.store.exists():
        with in_the_way():
            _add_file(ledger, parts.store, provenance)
    for part in parts.paths():
        try:
            _add_file(ledger, part, provenance)
        except NotAStoreError as error:
            parts.set_aside(part, error)
    return ledger


def entries_of(path: Path) -> tuple[Provenance, list[Entry]]:
    """The provenance of one file, its clips and its failures."""
    with StoreFile(path) as file:
        groups: tuple[Sequence[Record | Failure], ...] = (file.records(), file.failures())
        entries = [Entry(item, path, index) for group in groups for index, item in enumerate(group)]
        return file.provenance, entries


def _add_file(ledger: Ledger, path: Path, provenance: Provenance) -> None:
    made, entries = entries_of(path)
    if made == provenance:
        ledger.files.append(path)
        ledger.entries.update({entry.item.clip.id: entry for entry in entries})
        return
    for item in (entry.item for entry in entries):
        known = ledger.stale.get(item.clip.id, False)
        ledger.stale[item.clip.id] = known or isinstance(item, Record)
