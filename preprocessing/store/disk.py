"""Replace a file atomically, or not at all, and say plainly why not."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from preprocessing.errors import SetupError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError raised while writing ``path`` into a SetupError that names the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SetupError(
                f"no room left to write {path}; free some space and run the same command again, "
                "it resumes from what is saved"
            ) from error
        if error.errno in _NOT_ALLOWED:
            raise SetupError(
                f"not allowed to write {path}; change its permissions or choose another --out"
            ) from error
        raise SetupError(
            f"cannot write {path} ({error.strerror or error}); "
            "check the disk or choose another --out"
        ) from error


class NewFile:
    """A file that is being written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, offset: int, data: Any) -> None:
        """Put bytes, or a contiguous array, at an offset; what lies between is zeros."""
        rest = memoryview(data).cast("B")
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written

    def truncate(self, size: int) -> None:
        """Make it so many bytes long."""
        os.ftruncate(self._descriptor, size)


@contextmanager
def replacing(target: Path, aside: Path) -> Iterator[NewFile]:
    """Write ``aside``, force it to disk, and rename it to ``target``, on the same file system.

    Whatever goes wrong, ``target`` is the old file or the new one, complete.

    Raises:
        SetupError: the disk is full, read-only or broken.
    """
    with disk_errors(target):
        try:
            with _opened(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
                yield NewFile(descriptor)
                os.fsync(descriptor)
            aside.replace(target)
            with _opened(target.parent, os.O_RDONLY) as folder:
                os.fsync(folder)  # it is the folder that holds the names
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
