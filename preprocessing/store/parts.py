"""The folder beside a store for unfinished work, and the lock of its one writer."""

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from preprocessing.errors import SetupError
from preprocessing.store.disk import disk_errors
from preprocessing.store.lock import FolderLock, HeldError

_log = logging.getLogger(__name__)


class Parts:
    """``features.h5.parts/``: files ``part-000001.h5`` and on, later ones newer."""

    def __init__(self, store: Path) -> None:
        self.store = store.resolve()  # one store has one lock, also if it is linked to
        self.folder = self.store.with_name(f"{self.store.name}.parts")
        self._lock = FolderLock(self.folder)

    def paths(self) -> list[Path]:
        """Every complete part, oldest first."""
        return sorted(self.folder.glob("part-*.h5"))

    def next_path(self) -> Path:
        """Where the next part goes."""
        newest = max((int(path.stem.removeprefix("part-")) for path in self.paths()), default=0)
        return self.folder / f"part-{newest + 1:06d}.h5"

    def aside(self, target: Path) -> Path:
        """Where ``target`` is written before it is renamed into place."""
        return self.folder / f"{target.name}.tmp"

    def set_aside(self, part: Path, why: SetupError) -> None:
        """Rename a part that cannot be read, so that it is ignored."""
        with disk_errors(part):
            part.rename(part.with_name(f"{part.name}.broken"))
        _log.warning("set aside, its clips will be done again: %s", why)

    def clear(self) -> None:
        """Remove all parts, after they have been merged."""
        # Oldest first: if this is cut short, what is left is still the newest of each clip.
        for path in [*self.paths(), *self.folder.glob("*.broken")]:
            path.unlink()

    def acquire(self) -> None:
        """Become the one writer, and remove what a killed one left half-written.

        Raises:
            SetupError: another writer is at work, or the folder cannot be written.
        """
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except HeldError as owner:
                raise SetupError(
                    f"{self.store} is being written by {owner}; "
                    "wait for it to end or stop it, or choose another --out"
                ) from None
            try:
                for path in self.folder.glob("*.tmp"):
                    path.unlink()
            except BaseException:
                self.release()
                raise

    def release(self) -> None:
        """Let others write; removes the folder if no part is left in it."""
        with suppress(OSError):  # leftovers do no harm
            if set(self.folder.iterdir()) <= self._lock.files:
                shutil.rmtree(self.folder)
        self._lock.release()
