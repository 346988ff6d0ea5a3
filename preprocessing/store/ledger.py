"""The newest record of each clip, over a store and its parts."""

import itertools
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


def _add_file(ledger: Ledger, path: Path, provenance: Provenance) -> None:
    with StoreFile(path) as file:
        items: tuple[Sequence[Record | Failure], ...] = (file.records(), file.failures())
        current = file.provenance == provenance
    if not current:
        for item in itertools.chain(*items):
            known = ledger.stale.get(item.clip.id, False)
            ledger.stale[item.clip.id] = known or isinstance(item, Record)
        return
    ledger.files.append(path)
    for group in items:
        for index, item in enumerate(group):
            ledger.entries[item.clip.id] = Entry(item, path, index)
