"""A folder's lock, and who holds it."""

import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout


class HeldError(Exception):
    """Another process holds the lock; the message says which."""


class FolderLock:
    """``lock`` in a folder, and ``owner.json`` for the others to read; a context manager.

    The operating system releases it when the process ends, however it ends.
    """

    def __init__(self, folder: Path) -> None:
        self._owner_file = folder / "owner.json"
        self._lock = FileLock(folder / "lock")
        self.files = {folder / "lock", self._owner_file}

    def acquire(self) -> None:
        """Hold the lock; the folder must exist.

        Raises:
            HeldError: another process does.
        """
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise HeldError(self._owner()) from None
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        try:
            self._owner_file.write_text(json.dumps(owner))
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Let others have it."""
        with suppress(OSError):  # leftovers do no harm
            self._owner_file.unlink()
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _owner(self) -> str:
        try:
            owner = json.loads(self._owner_file.read_text())
            return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
        except (OSError, ValueError, LookupError, TypeError):  # it has not signed yet
            return "another process"
