"""Ask another process for the structure of a file, once per version of the file."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from preprocessing.hdf5 import structure


def inspect(path: Path) -> dict[str, Any]:
    """What :func:`preprocessing.hdf5.structure.structure` says of a file.

    Raises:
        OSError: the file cannot be read at all.
    """
    now = path.stat()
    version = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    return _inspected(path.absolute(), version)


@lru_cache(maxsize=4096)
def _inspected(path: Path, version: tuple[int, ...]) -> dict[str, Any]:
    return _inspector.ask(path)


class _Inspector:
    """The other process, started when first needed; it ends with this one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        os.register_at_fork(after_in_child=self._forget)  # a fork needs one of its own

    def ask(self, path: Path) -> dict[str, Any]:
        with self._lock:
            process = self._process = self._process or _started()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(str(path)) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if answer:
                    found: dict[str, Any] = json.loads(answer)
                    return found
            except BrokenPipeError:
                pass
            except BaseException:  # such as Ctrl-C: the answer may still come, to nobody
                self._end(process)
                raise
            return {"refused": ["damaged", _death(self._end(process))]}

    def _end(self, process: "subprocess.Popen[str]") -> int:
        self._process = None
        process.kill()
        with suppress(BrokenPipeError), process:  # closes its pipes and waits for it
            pass
        return process.returncode

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._process = None


def _started() -> "subprocess.Popen[str]":
    # By its path and with -P: no file of the user's folder can be imported in place of a module.
    return subprocess.Popen(
        [sys.executable, "-P", structure.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _death(code: int) -> str:
    """How the process ended, in words."""
    if code == -signal.SIGPROF:
        return "HDF5 does not come to an end with it"
    return f"HDF5 crashes on it, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_inspector = _Inspector()
