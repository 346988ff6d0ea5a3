"""What an HDF5 file consists of, read in a process of its own that can be given up.

Run as a script it answers on stdout, in JSON, for each path that comes on stdin. It imports h5py
alone, to start fast.
"""

import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5o, h5z

_SECONDS = 2
"""Of CPU, for any file; and one more for each ``_BYTES_PER_SECOND`` of it. Real ones take less."""
_BYTES_PER_SECOND = 200 << 20

_MEMORY = 1 << 30
"""Bytes of address space, for any file; and ``_MEMORY_PER_BYTE`` more for each byte of it."""
_MEMORY_PER_BYTE = 4

_MAX_COMPRESSION = 1100
"""Deflate reaches 1032."""

_ROOM = 1 << 20
"""Bytes that a data set may claim without storing any."""


class _RefusedError(Exception):
    """Why a file is refused: ``link`` or ``damaged``, and the words."""


def structure(path: str) -> dict[str, Any]:
    """Visit every object of a file.

    Returns:
        ``{"refused": [kind, words]}``; or ``{"filters": {code: data set}}``, the filters that are
        needed to read the file.
    """
    filters: dict[int, str] = {}
    try:
        with h5py.File(path, "r", locking=False) as file:
            size = Path(path).stat().st_size
            for name, dataset in _datasets(file, set()):
                filters |= dict.fromkeys(_filters(dataset), name)
                _read(dataset, name, size)
    except _RefusedError as refused:
        return {"refused": refused.args}
    except Exception as error:
        return {"refused": ("damaged", str(error) or type(error).__name__)}
    return {"filters": filters}


def has_filter(code: int) -> bool:
    """Whether HDF5 can apply a filter here, by a plug-in of the package hdf5plugin if need be."""
    if not h5z.filter_avail(code):
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401  # its import registers the filters
    return bool(h5z.filter_avail(code))


def _datasets(group: h5py.Group, seen: set[Any]) -> Iterator[tuple[str, h5py.Dataset]]:
    """Each data set once, with its path; every attribute is read on the way."""
    _read_attributes(group)
    for name in group:
        path = f"{group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise _RefusedError("link", f"its link {path} leads to {link.filename}:{link.path}")
        if isinstance(link, h5py.SoftLink):
            raise _RefusedError("link", f"its link {path} leads to {link.path}")
        item = group[name]
        address = h5o.get_info(item.id).addr
        if address in seen:
            continue
        seen.add(address)
        if isinstance(item, h5py.Group):
            yield from _datasets(item, seen)
        elif isinstance(item, h5py.Dataset):
            _require_own_data(item, path)
            _read_attributes(item)
            yield path, item


def _require_own_data(dataset: h5py.Dataset, name: str) -> None:
    plan = dataset.id.get_create_plist()
    virtual = plan.get_layout() == h5d.VIRTUAL
    if virtual or plan.get_external_count():
        file = plan.get_virtual_filename(0) if virtual else os.fsdecode(plan.get_external(0)[0])
        raise _RefusedError("link", f"its data set {name} lies in {file}")


def _filters(dataset: h5py.Dataset) -> Iterator[int]:
    """The filters that some chunk of a data set went through."""
    plan = dataset.id.get_create_plist()
    skipped: list[int] = []  # by each chunk, in bits
    if plan.get_layout() == h5d.CHUNKED:
        dataset.id.chunk_iter(lambda chunk: skipped.append(chunk.filter_mask))
    for position in range(plan.get_nfilters()):
        if any(not mask >> position & 1 for mask in skipped):
            yield plan.get_filter(position)[0]


def _read_attributes(item: h5py.Group | h5py.Dataset) -> None:
    with suppress(Exception):
        for name in item.attrs:
            with suppress(Exception):
                item.attrs[name]


def _read(dataset: h5py.Dataset, name: str, size: int) -> None:
    """All but plain numbers, for which HDF5 follows nothing but its table of chunks."""
    with suppress(TypeError):  # of a type that NumPy lacks
        claimed = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
        stored = min(dataset.id.get_storage_size(), size)
        if claimed > _MAX_COMPRESSION * stored + _ROOM:
            words = f"{name} claims {claimed:,} bytes, and {stored:,} are stored"
            raise _RefusedError("damaged", words)
        if dataset.dtype.hasobject and all(map(has_filter, _filters(dataset))):
            dataset[()]


def _serve() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks gets it too, and ends this one
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = json.loads(line)
        with suppress(OSError, ValueError):  # no such file; a stricter limit is in force
            size = Path(path).stat().st_size
            signal.setitimer(signal.ITIMER_PROF, _SECONDS + size / _BYTES_PER_SECOND)  # SIGPROF
            memory = _MEMORY + _MEMORY_PER_BYTE * size
            resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
        answer = json.dumps(structure(path))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(answer, flush=True)


if __name__ == "__main__":
    _serve()
