"""Merge many files into one, with bounded memory."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from preprocessing.clips import Clip
from preprocessing.store.blocks import Block
from preprocessing.store.create import write_file
from preprocessing.store.disk import replacing
from preprocessing.store.ledger import Entry, Ledger
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import StoreFile

BLOCK_BYTES = 32 << 20
"""Features held in memory at once; one clip may exceed it."""


def merge(
    ledger: Ledger, clips: Sequence[Clip], provenance: Provenance, target: Path, aside: Path
) -> None:
    """Write everything in the ledger to ``target``, unless it holds exactly that already.

    Clips of the manifest come first, in its order and with its labels, splits, events and paths;
    others follow as they were.
    """
    ordered = _refreshed(ledger.entries, clips)
    items = [entry.item for entry in ordered]
    records = [item for item in items if isinstance(item, Record)]
    failures = [item for item in items if isinstance(item, Failure)]
    if ledger.files == [target]:
        with StoreFile(target) as old:
            if (records, failures) == (old.records(), old.failures()):
                return
    stored = [entry for entry in ordered if isinstance(entry.item, Record)]
    with replacing(target, aside) as file:
        write_file(file, provenance, records, failures, stored_blocks(stored, records))


def _refreshed(entries: dict[str, Entry], clips: Sequence[Clip]) -> list[Entry]:
    listed = {clip.id: clip for clip in clips if clip.id in entries}
    rest = [entry for id_, entry in entries.items() if id_ not in listed]
    return [_refresh(entries[id_], clip) for id_, clip in listed.items()] + rest


def _refresh(entry: Entry, clip: Clip) -> Entry:
    # Not start and end: they say what the features were made from.
    known = entry.item.clip
    known = replace(clip, id=known.id, start=known.start, end=known.end)
    return replace(entry, item=replace(entry.item, clip=known))


def stored_blocks(
    entries: Sequence[Entry], records: Sequence[Record]
) -> Iterator[tuple[int, Block]]:
    """Read the features of these entries; yield (position of the first among them, block).

    File by file, as only one need be open then, whatever the order of the clips.
    """
    by_file: dict[Path, list[tuple[int, int]]] = defaultdict(list)  # (index there, position here)
    for position, entry in enumerate(entries):
        by_file[entry.file].append((entry.index, position))
    for path, moves in by_file.items():
        with StoreFile(path) as file:
            for run in _runs(sorted(moves), records):
                (first, position), (last, _) = run[0], run[-1]
                yield position, file.block(first, last + 1)


def _runs(
    moves: Sequence[tuple[int, int]], records: Sequence[Record]
) -> Iterator[list[tuple[int, int]]]:
    """Split moves into runs that are consecutive on both sides and no larger than a block."""
    run: list[tuple[int, int]] = []
    size = 0
    for index, position in moves:
        nbytes = records[position].nbytes
        follows = run and (index, position) == (run[-1][0] + 1, run[-1][1] + 1)
        if run and (not follows or size + nbytes > BLOCK_BYTES):
            yield run
            run, size = [], 0
        run.append((index, position))
        size += nbytes
    if run:
        yield run
