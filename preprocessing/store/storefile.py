"""One file of the store, open for reading."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import SetupError
from preprocessing.hdf5 import DamagedError, hdf5_errors, open_hdf5
from preprocessing.store.blocks import Block, Rows
from preprocessing.store.layout import (
    ADDED_LATER,
    CLIPS,
    FAILURES,
    FORMAT,
    VERSION,
    failure_of,
    read_column,
    read_table,
    record_of,
)
from preprocessing.store.records import Failure, Provenance, Record


class NotAStoreError(SetupError):
    """A file is not a feature store, not one this version reads, or damaged."""

    def __init__(self, path: Path, detail: str, remedy: str) -> None:
        super().__init__(path, detail, remedy)  # all in args, so that it pickles
        self.path = path
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path} is not an avcmr feature store ({self.detail}); {self.remedy}"


@contextmanager
def in_the_way() -> Iterator[None]:
    """The remedy where something else is at the path of a store to be written."""
    try:
        yield
    except NotAStoreError as error:
        remedy = "choose another --out or move it away"
        raise NotAStoreError(error.path, error.detail, remedy) from error.__cause__


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 raises on a damaged or foreign file into one kind of error."""
    try:
        if path.is_dir():
            remedy = f"give a file; videos become one with: avcmr extract --videos {path}"
            raise NotAStoreError(path, "it is a folder", remedy)
        with hdf5_errors(path):
            yield
    except DamagedError as error:
        remedy = "give another file, or make it again"
        raise NotAStoreError(path, error.detail, remedy) from error


class StoreFile:
    """One file, open for reading; a context manager.

    Raises:
        NotAStoreError: the file is something else, or damaged; any method may.
        SetupError: the system does not let it be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with readable(self.path):
            self._h5 = open_hdf5(path)
        try:
            with readable(self.path):
                self.provenance = self._read_provenance()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._h5.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self) -> list[Record]:
        """Every clip, in order."""
        with readable(self.path):
            rows = read_table(self._h5["clips"], CLIPS, ADDED_LATER)
            shapes = zip(self._visual.shapes(), self._audio.shapes(), strict=True)
            return [record_of(row, *shape) for row, shape in zip(rows, shapes, strict=True)]

    def failures(self) -> list[Failure]:
        """Every clip that could not be used."""
        with readable(self.path):
            rows = read_table(self._h5["failures"], FAILURES, ADDED_LATER)
            return [failure_of(row) for row in rows]

    def clip_column(self, name: str) -> NDArray[Any]:
        """One column of ``/clips``, (N,)."""
        with readable(self.path):
            return read_column(self._h5["clips"], CLIPS, name, ADDED_LATER)

    def means(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean rows of each clip: visual (N, D) and audio (N, 128), float32."""
        with readable(self.path):
            return self._visual.means(), self._audio.means()

    def block(self, first: int, stop: int) -> Block:
        """The features of clips ``first:stop``."""
        with readable(self.path):
            return Block(self._visual.rows(first, stop), self._audio.rows(first, stop))

    def widths(self) -> tuple[int, int]:
        """Dimensions of a visual and of an audio row."""
        with readable(self.path):
            return self._visual.width, self._audio.width

    def faults(self) -> list[str]:
        """Where tables and rows do not fit together, so that rows cannot be assigned to clips."""
        with readable(self.path):
            clips = len(self)
            table = self._h5["clips"]
            return [
                *(
                    f"/clips/{name} has {len(table[name])} rows for {clips} clips"
                    for name in CLIPS
                    if name in table and len(table[name]) != clips
                ),
                *self._visual.faults(clips),
                *self._audio.faults(clips),
            ]

    def __len__(self) -> int:
        with readable(self.path):
            return len(self._h5["clips"]["id"])

    @cached_property
    def _visual(self) -> "_StreamReader":
        return _StreamReader(self._h5["visual"])

    @cached_property
    def _audio(self) -> "_StreamReader":
        return _StreamReader(self._h5["audio"])

    def _read_provenance(self) -> Provenance:
        attributes = self._h5.attrs
        if attributes.get("format") != FORMAT:
            raise NotAStoreError(
                self.path,
                f"HDF5, but without the mark format={FORMAT}",
                f"published features become one with: avcmr features import {self.path}",
            )
        if attributes["version"] != VERSION:
            raise NotAStoreError(
                self.path,
                f"of version {attributes['version']}; this program knows {VERSION}",
                "use the avcmr that wrote it, or make it again with avcmr extract",
            )
        return Provenance(
            json.loads(attributes["config"]),
            json.loads(attributes["weights"]),
            attributes["decoder"],
        )


class _StreamReader:
    """One stream of an open file."""

    def __init__(self, group: h5py.Group) -> None:
        self._name = group.name
        self._values = group["values"]
        self._times = group["times"]
        self._means = group["means"]
        self._offsets: NDArray[np.int64] = group["offsets"][()]
        self.width = int(self._values.shape[1])

    def shapes(self) -> list[tuple[int, int]]:
        """(rows, width) of each clip."""
        return [(count, self.width) for count in np.diff(self._offsets).tolist()]

    def rows(self, first: int, stop: int) -> Rows:
        """The rows of clips ``first:stop``."""
        offsets = self._offsets[first : stop + 1]
        span = slice(offsets[0], offsets[-1])
        return Rows(self._values[span], self._times[span], offsets - offsets[0])

    def faults(self, clips: int) -> Iterator[str]:
        """Where its arrays do not fit together, or so many clips."""
        offsets, rows = self._offsets, len(self._values)
        expected: dict[str, tuple[h5py.Dataset | NDArray[np.int64], type, tuple[int, ...]]] = {
            "values": (self._values, np.float32, (rows, self.width)),
            "times": (self._times, np.float64, (rows,)),
            "means": (self._means, np.float32, (clips, self.width)),
            "offsets": (offsets, np.int64, (clips + 1,)),
        }
        wrong = [
            f"{self._name}/{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}"
            for name, (array, dtype, shape) in expected.items()
            if (array.dtype, array.shape) != (np.dtype(dtype), shape)
        ]
        yield from wrong
        if wrong:
            return
        if offsets[0] != 0 or offsets[-1] != rows:
            yield (
                f"{self._name}/offsets go from {offsets[0]} to {offsets[-1]} where there are "
                f"{rows} rows"
            )
        elif (np.diff(offsets) < 1).any():
            index = int(np.argmax(np.diff(offsets) < 1))
            yield (
                f"{self._name}/offsets give clip {index} no rows ({offsets[index]} to "
                f"{offsets[index + 1]})"
            )

    def means(self) -> NDArray[np.float32]:
        """(N, D) float32."""
        means: NDArray[np.float32] = self._means[()]
        return means
