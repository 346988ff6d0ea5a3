"""A file in memory for HDF5 to write to, where no write fails.

When one of its writes fails, as on a full disk, HDF5 crashes the process (segmentation fault in
HDF5 2.0). So it never writes to the disk: it lays out the file in memory, and plain Python writes
that out, and the bulk of the data into it.
"""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from preprocessing.store.disk import NewFile

_PAGE = 1 << 16


class MemoryFile(io.RawIOBase):
    """A sparse file in memory: it keeps only the pages written to, and the rest reads as zeros."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._size = 0

    def save(self, file: NewFile) -> None:
        """Write it to the disk."""
        for number, page in self._pages.items():
            file.write(number * _PAGE, page)
        file.truncate(self._size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        for number, inside, outside in self._spans(len(view)):
            page = self._pages.get(number)
            view[outside] = page[inside] if page else bytes(inside.stop - inside.start)
        self._position += len(view)
        return len(view)

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        for number, inside, outside in self._spans(len(view)):
            self._pages.setdefault(number, bytearray(_PAGE))[inside] = view[outside]
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        self._size = self._position if size is None else size
        return self._size

    def _spans(self, length: int) -> Iterator[tuple[int, slice, slice]]:
        """Split the bytes from here on: (page, slice of the page, slice of the bytes)."""
        done = 0
        while done < length:
            number, first = divmod(self._position + done, _PAGE)
            count = min(_PAGE - first, length - done)
            yield number, slice(first, first + count), slice(done, done + count)
            done += count


@contextmanager
def hdf5_in_memory() -> Iterator[tuple[h5py.File, MemoryFile]]:
    """A new HDF5 file in memory, complete when the block ends."""
    file = MemoryFile()
    with _signals_deferred(), h5py.File(file, "w") as h5:
        yield h5, file


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Defer Ctrl-C, and SIGTERM if it has a handler, to the end of the block.

    Handlers may raise at any line of Python, and HDF5 breaks if :class:`MemoryFile` raises.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers only ever run in the main thread
        return
    both = (signal.SIGINT, signal.SIGTERM)
    handlers = {n: signal.getsignal(n) for n in both if callable(signal.getsignal(n))}
    arrived: list[int] = []
    for number in handlers:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for waiting in dict.fromkeys(arrived):
            signal.raise_signal(waiting)
