"""Media on a web server or in a bucket: named by URL, read through fsspec."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import urlsplit

from fsspec.callbacks import Callback
from upath import UPath

from preprocessing.errors import ClipError, SetupError, UsageError

MediaPath = Path | UPath
"""Where a media file is: on this machine, or elsewhere."""

_PROTOCOLS = ("http", "https", "s3", "gs", "az")
"""What a URL may begin with; all but the web's need a package that fsspec names."""

MAX_BYTES = 4 << 30
"""Larger files are not fetched."""

AT_ONCE = 16
"""Files that one process fetches concurrently; it mostly waits."""

ATTEMPTS = 3
PAUSE_SECONDS = 1.0
"""How often a file is requested, and the pause before the second time; then twice as long."""


def media_path(text: str) -> MediaPath:
    """The place of a media file, from its path or URL.

    Raises:
        UsageError: a URL that begins with none of ``_PROTOCOLS``.
    """
    url = re.match(r"([A-Za-z][A-Za-z0-9+.:-]*)://", text)
    if not url:
        return Path(text)
    if url[1].lower() not in _PROTOCOLS:
        known = ", ".join(f"{protocol}://" for protocol in _PROTOCOLS)
        raise UsageError(f"{text}: clips cannot be fetched by {url[1]}://; take one of {known}")
    return UPath(text)


def size_and_mtime(path: MediaPath) -> tuple[int, int]:
    """Bytes of a file, and when it was last changed, in nanoseconds since the epoch.

    For a remote file, 0 stands for what its server does not report.

    Raises:
        OSError: there is no such file, or it cannot be reached.
    """
    try:
        status = path.stat()
        info: Mapping[str, Any] = getattr(status, "as_info", dict)()
        date = info.get("Last-Modified")  # by a web server
        changed = parsedate_to_datetime(date) if date else None
    except OSError as error:
        if error.__cause__ is not None:  # fsspec's "not found" hides what the web server said
            raise OSError(f"{path}: {_named(error.__cause__)}") from error
        raise
    except Exception as error:  # missing package, credentials, or a malformed date
        raise OSError(f"{path}: {_named(error)}") from error
    mtime = round(changed.timestamp()) * 10**9 if changed else status.st_mtime_ns
    return status.st_size, mtime


def is_folder(path: MediaPath) -> bool:
    """Whether this is a folder, here or in a bucket.

    Raises:
        SetupError: that cannot be determined.
    """
    try:
        return path.is_dir()
    except Exception as error:  # missing package, or credentials
        raise SetupError(f"{path}: cannot be read ({_named(error)})") from None


class Fetched:
    """Files on this machine, to be decoded; remote ones are fetched concurrently.

    ::

        with Fetched(clip.path for clip in clips) as fetched:
            for clip in clips:
                decode(fetched.file(clip.path))

    Leaving the block removes what was fetched. What a killed process has left is removed by the
    next one.
    """

    def __init__(self, paths: Iterable[MediaPath]) -> None:
        self._remote = list(dict.fromkeys(path for path in paths if not isinstance(path, Path)))
        self._copies: dict[UPath, Future[Path]] = {}

    def __enter__(self) -> Self:
        if self._remote:
            _remove_what_dead_processes_left()
            self._folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
            for number, path in enumerate(self._remote):
                name = f"{number}{PurePosixPath(urlsplit(str(path)).path).suffix}"
                self._copies[path] = self._threads.submit(
                    _fetch, path, Path(self._folder.name, name)
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._remote:
            self._threads.shutdown(cancel_futures=True)
            self._folder.cleanup()

    def file(self, path: MediaPath) -> Path:
        """The file, or its copy, once that is whole.

        Raises:
            ClipError: ``missing``, or ``unreachable``.
        """
        return path if isinstance(path, Path) else self._copies[path].result()


_PREFIX = "avcmr-fetched-"


def _refuse_large(path: UPath, size: int | None, value: int) -> None:
    if max(size or 0, value) > MAX_BYTES:
        raise ClipError(
            "unreachable",
            f"{path}: larger than {MAX_BYTES / 2**30:.3g} GiB, which is the most that is fetched; "
            "cut it into clips",
        )


def _fetch(path: UPath, copy: Path) -> Path:
    """Copy a remote file with its modification time, by which a store recognises it."""
    limit = Callback(hooks={"limit": partial(_refuse_large, path)})
    for attempt in range(1, ATTEMPTS + 1):
        try:
            path.fs.get_file(path.path, str(copy), callback=limit)
            mtime = size_and_mtime(path)[1]
            break
        except ClipError:
            raise
        except FileNotFoundError:
            raise ClipError("missing", f"{path}: no such file") from None
        except Exception as error:
            final = isinstance(error, PermissionError) or 400 <= getattr(error, "status", 0) < 500
            if final or attempt == ATTEMPTS:
                raise ClipError(
                    "unreachable", f"{path}: {_named(error)}; check that it can be fetched"
                ) from None
            time.sleep(PAUSE_SECONDS * attempt)
    os.utime(copy, ns=(mtime, mtime))
    return copy


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _remove_what_dead_processes_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process = re.match(r"\d+", folder.name.removeprefix(_PREFIX))
        try:
            os.kill(int(process[0]) if process else 0, 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            pass  # somebody else's, and alive
