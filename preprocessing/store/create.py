"""Write a whole file of the store."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import SetupError
from preprocessing.store.blocks import Block, Rows, row_offsets
from preprocessing.store.disk import NewFile, replacing
from preprocessing.store.layout import (
    CLIPS,
    FAILURES,
    FORMAT,
    VERSION,
    clip_row,
    failure_row,
    write_table,
)
from preprocessing.store.memory_file import hdf5_in_memory
from preprocessing.store.parts import Parts
from preprocessing.store.records import Failure, Provenance, Record, to_json


def write_file(
    file: NewFile,
    provenance: Provenance,
    records: Sequence[Record],
    failures: Sequence[Failure],
    blocks: Iterable[tuple[int, Block]],
) -> None:
    """Write a whole file, a part or the store itself.

    ``blocks`` are the features, in pieces of any size and order: (index of the first clip, block).

    Raises:
        OSError: the file cannot be written.
        ValueError: clips differ in the width of their rows.
    """
    with hdf5_in_memory() as (h5, skeleton):
        h5.attrs["format"] = FORMAT
        h5.attrs["version"] = VERSION
        h5.attrs["config"] = to_json(provenance.config)
        h5.attrs["weights"] = to_json(provenance.weights)
        h5.attrs["decoder"] = provenance.decoder
        write_table(h5.create_group("clips"), CLIPS, [clip_row(record) for record in records])
        write_table(h5.create_group("failures"), FAILURES, [failure_row(f) for f in failures])
        visual = _Stream(h5.create_group("visual"), [record.visual for record in records])
        audio = _Stream(h5.create_group("audio"), [record.audio for record in records])
    skeleton.save(file)
    for first, block in blocks:
        visual.write(file, first, block.visual)
        audio.write(file, first, block.audio)


class _Stream:
    """Space for the rows of clips of known shapes (rows, width)."""

    def __init__(self, group: h5py.Group, shapes: Sequence[tuple[int, int]]) -> None:
        widths = {width for _, width in shapes} or {0}
        if len(widths) > 1:
            raise ValueError(f"{group.name} rows of one store must have one width, not {widths}")
        width = widths.pop()
        self._offsets = row_offsets([rows for rows, _ in shapes])
        group.create_dataset("offsets", data=self._offsets)
        total = int(self._offsets[-1])
        self._values = _Space(group, "values", (total, width), np.float32)
        self._times = _Space(group, "times", (total,), np.float64)
        self._means = _Space(group, "means", (len(shapes), width), np.float32)

    def write(self, file: NewFile, first: int, rows: Rows) -> None:
        """Put the rows of clips ``first`` and on in their place."""
        row = int(self._offsets[first])
        self._values.write(file, row, rows.values)
        self._times.write(file, row, rows.times)
        self._means.write(file, first, rows.means())


class _Space:
    """Where a dataset lies in the file: contiguous, one row after another."""

    def __init__(
        self, group: h5py.Group, name: str, shape: tuple[int, ...], dtype: type[np.floating[Any]]
    ) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # its place is settled now, and
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # HDF5 writes nothing there
        dataset = group.create_dataset(name, shape, dtype, dcpl=plan)
        self._start: int = dataset.id.get_offset() or 0  # None if it is empty
        self._dtype = np.dtype(dtype)
        self._row_bytes = self._dtype.itemsize * math.prod(shape[1:])

    def write(self, file: NewFile, row: int, values: NDArray[np.floating[Any]]) -> None:
        """Put rows at row number ``row`` and on."""
        data = np.ascontiguousarray(values, self._dtype)
        file.write(self._start + row * self._row_bytes, data)


def write_store(
    path: Path,
    provenance: Provenance,
    records: Sequence[Record],
    blocks: Iterable[tuple[int, Block]],
    failures: Sequence[Failure] = (),
) -> None:
    """Write a whole new store, or nothing.

    ``blocks`` are the features, in pieces of any size and order: (index of the first clip, block).

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
