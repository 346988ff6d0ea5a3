"""Open HDF5 files for reading, and say plainly why one cannot be read."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from preprocessing.errors import SetupError
from preprocessing.hdf5.inspection import inspect
from preprocessing.hdf5.structure import has_filter

_FILTERS = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
"""Those of the package hdf5plugin, by their registered numbers."""


class DamagedError(SetupError):
    """A file is damaged, or no HDF5 at all."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(path, detail)  # both in args, so that it pickles
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}; fetch it again, or write it again"


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        DamagedError: it is damaged, or no HDF5.
        SetupError: it is being written, needs a filter that is missing, or has its data in other
            files; or the system does not let it be read.
    """
    with hdf5_errors(path):
        _require_unlocked(path)
        found = inspect(path)
        kind, words = found.get("refused", ("", ""))
        if kind == "link":
            raise SetupError(
                f"{path}: {words}, and only what lies in the file itself is read; copy the data "
                "into the file"
            )
        if kind == "damaged":
            raise OSError(words)
        _require_filters(path, found["filters"])
        # Whoever writes it is looked for above; HDF5's own locks are lacking on some file systems.
        return h5py.File(path, "r", locking=False)


@contextmanager
def hdf5_errors(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 raises on a damaged or foreign file into a SetupError."""
    try:
        yield
    except (
        *(OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError),
        *(ArithmeticError, MemoryError),
    ) as error:
        # Without a number it is HDF5's own; errors other than EIO are not the fault of the file.
        number = getattr(error, "errno", None)
        if number not in {None, errno.EIO}:
            raise SetupError(f"cannot read {path}: {os.strerror(number)}") from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "already open for write" in reason:
            raise SetupError(
                f"{path}: is locked, a program has left it open for writing; end that program, or "
                f"where none writes it any more: h5clear -s {path}"
            ) from error
        if not h5py.is_hdf5(path):
            raise DamagedError(path, f"not an HDF5 file: {reason}") from error
        raise DamagedError(path, f"is damaged: {reason}") from error


def _require_unlocked(path: Path) -> None:
    """Raise a SetupError if another program has it open for writing, as HDF5 marks it by a lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(os.fstat(file.fileno()))
            raise SetupError(
                f"{path}: is locked, {owner} has it open for writing; close it there, or wait for "
                "it to end"
            ) from None
        except OSError:  # a file system without locks
            return


def _owner(file: os.stat_result) -> str:
    """The process that holds a file's lock, as far as Linux knows it."""
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        locks = []
    owners = [fields[4] for fields in map(str.split, locks) if fields[5:6] == [device]]
    return f"process {owners[0]}" if owners and owners[0] != "0" else "another process"


def _require_filters(path: Path, needed: dict[str, str]) -> None:
    missing = {int(code): name for code, name in needed.items() if not has_filter(int(code))}
    for code, name in missing.items():
        raise SetupError(
            f"{path}: {name} is compressed by a filter that is missing here "
            f"({_FILTERS.get(code, f'number {code}')}); pip install hdf5plugin"
        )
