"""Write a store at once, of clips that need no extraction."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from preprocessing.errors import SetupError
from preprocessing.store.blocks import Block
from preprocessing.store.create import write_file
from preprocessing.store.disk import replacing
from preprocessing.store.parts import Parts
from preprocessing.store.records import Failure, Provenance, Record


def write_store(
    path: Path,
    provenance: Provenance,
    records: Sequence[Record],
    blocks: Iterable[tuple[int, Block]],
    failures: Sequence[Failure] = (),
) -> None:
    """Write a whole new store, or nothing.

    Args:
        path: not yet there.
        provenance: of all features.
        records: the clips, in order, with ids of their own.
        blocks: their rows, in pieces of any size and order: (index of the first clip, block).
        failures: the clips that could not be used.

    Raises:
        SetupError: there is a file or an unfinished extraction at ``path``, clips share an id,
            differ in the width of their rows, or the disk is full.
    """
    first: dict[str, Record] = {}
    for record in records:
        if first.setdefault(record.clip.id, record) is not record:
            raise SetupError(f"{path}: two clips have the id {record.clip.id!r}; rename one")
    for stream in ("visual", "audio"):
        widths = sorted({getattr(record, stream)[1] for record in records})
        if len(widths) > 1:
            raise SetupError(
                f"{path}: {stream} rows of different widths, {widths}, cannot lie in one store; "
                "make two stores"
            )
    parts = Parts(path)
    parts.acquire()
    try:
        if parts.store.exists() or parts.paths():
            raise SetupError(f"{path}: exists already; choose another --out, or remove it")
        with replacing(parts.store, parts.aside(parts.store)) as file:
            write_file(file, provenance, records, failures, blocks)
    finally:
        parts.release()
