"""Let HDF5 lay out a file in memory, where no write fails.

When a write of its own fails, as on a full disk, HDF5 crashes the process (segmentation fault in
HDF5 2.0). So it never gets to write to the disk: it makes the skeleton of a file here, and plain
Python writes that out, and the bulk of the data beside it.
"""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from preprocessing.store.disk import NewFile

PAGE = 1 << 16


class Image(io.RawIOBase):
    """A file in memory that keeps only the pages written to; all else in it is zeros."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._size = 0

    def save(self, file: NewFile) -> None:
        """Write it out."""
        for number, page in self._pages.items():
            file.write(number * PAGE, page)
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
            self._pages.setdefault(number, bytearray(PAGE))[inside] = view[outside]
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
            number, first = divmod(self._position + done, PAGE)
            count = min(PAGE - first, length - done)
            yield number, slice(first, first + count), slice(done, done + count)
            done += count


@contextmanager
def hdf5_image() -> Iterator[tuple[h5py.File, Image]]:
    """Make a new HDF5 file in memory; the image is complete when the block ends."""
    image = Image()
    with _signals_held(), h5py.File(image, "w") as h5:
        yield h5, image


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep Ctrl-C, and a SIGTERM that someone handles, waiting until the end.

    Handlers may raise at any line of Python, and HDF5 goes astray if :class:`Image` does.
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
