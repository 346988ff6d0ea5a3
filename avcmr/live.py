"""Trainings that run in processes of their own, known to any shell of this machine."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"avcmr-trainings-{os.getuid()}"


@contextmanager
def announced(run: Path) -> Iterator[None]:
    """While inside, :func:`trainings` has this run's folder; no longer, however the process ends.

    For that its file is locked, and the system takes locks back. Where no file can be written the
    run is trained all the same.
    """
    marker = _folder() / str(os.getpid())
    aside = marker.with_suffix(".tmp")
    try:
        marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = aside.open("w")
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(run.resolve()))
        file.flush()
        aside.replace(marker)
        try:
            yield
        finally:
            marker.unlink(missing_ok=True)


def trainings() -> list[Path]:
    """The folders of the runs that are being trained now."""
    found = []
    for marker in sorted(_folder().glob("[0-9]*[0-9]")):
        with suppress(OSError), marker.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(Path(file.read()))
            else:  # its process was killed
                marker.unlink()
    return found
