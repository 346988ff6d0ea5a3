"""A table in HDF5: a group of columns of equal length, one dataset each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

TEXT = h5py.string_dtype("utf-8")
FLOAT = np.dtype(np.float64)
INT = np.dtype(np.int64)

Schema = Mapping[str, Any]
"""Name of each column → TEXT, FLOAT or INT."""

# A file name need not be UTF-8; Python carries its odd bytes as surrogates, and so they return.
_ODD_BYTES = "surrogateescape"


def write_table(group: h5py.Group, schema: Schema, rows: Sequence[Sequence[Any]]) -> None:
    """Write rows, each with one value per column in the schema's order."""
    for position, (name, dtype) in enumerate(schema.items()):
        column = [row[position] for row in rows]
        if dtype is TEXT:
            column = [text.encode("utf-8", _ODD_BYTES) for text in column]
        group.create_dataset(name, shape=(len(rows),), dtype=dtype)
        if rows:
            group[name][...] = np.array(column, dtype=object if dtype is TEXT else dtype)


def read_table(
    group: h5py.Group, schema: Schema, absent: Mapping[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that :func:`write_table` was given.

    Args:
        group: of the table.
        schema: all its columns.
        absent: columns that it may lack → the value that stands for them.
    """
    if not len(group[next(iter(schema))]):
        return iter(())  # often so, and each column costs an access
    columns = (read_column(group, schema, name, absent).tolist() for name in schema)
    return zip(*columns, strict=True)


def read_column(
    group: h5py.Group, schema: Schema, name: str, absent: Mapping[str, Any]
) -> NDArray[Any]:
    """One column: (N,) float64 or int64, or objects of type str; see :func:`read_table`."""
    if name in absent and name not in group:
        return np.full(len(group[next(iter(schema))]), absent[name])
    dataset = group[name]
    if schema[name] is TEXT:
        dataset = dataset.asstr(errors=_ODD_BYTES)
    column: NDArray[Any] = dataset[()]
    return column
