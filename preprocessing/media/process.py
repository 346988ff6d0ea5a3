"""Untrusted files are decoded in a separate process, which may crash or be killed."""

import io
import json
import multiprocessing
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

import numpy as np

from preprocessing.errors import ClipError
from preprocessing.media.outcome import Decoded, try_file

STARTING_SECONDS = 120.0
"""Time limit for the process to import its libraries, generous for a busy machine."""


class DecodingProcess:
    """:func:`preprocessing.media.outcome.try_file` in another process, with a deadline.

    Not ``multiprocessing.Pool`` or pebble, which unpickle results: this process only reads JSON
    and arrays without objects, so a decoder that a hostile file took over cannot run code here.

    Thread-safe; files are decoded one at a time.

    Args:
        seconds: deadline of each file.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any]

    def __call__(self, path: Path, decode: Callable[[], Decoded]) -> Decoded | ClipError:
        """The result of ``decode`` for a file, an array or a string, or its error."""
        with self._lock:
            self._start()
            try:
                self._connection.send((path, decode))
                if not self._connection.poll(self._seconds):
                    self._stop()
                    return ClipError(
                        "decode_timeout",
                        f"{path}: decoding takes longer than {self._seconds:g} s; shorten it "
                        "or re-encode it",
                    )
                fault = json.loads(self._connection.recv_bytes())
                if fault:
                    return ClipError(*fault)
                return cast(Decoded, _unpacked(self._connection.recv_bytes()))
            except (EOFError, OSError):
                self._stop()
                return ClipError(
                    "decoder_crashed", f"{path}: its decoder crashed; re-encode it, or leave it out"
                )

    def start(self) -> None:
        """Start the process, so that the first file need not wait for it."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """Kill the process, and whatever it is decoding."""
        process = self._process
        if process is not None:
            process.kill()  # a thread that waits for a result sees the pipe close

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe closes when the process dies
        if not self._connection.poll(STARTING_SECONDS):
            self._stop()
            raise TimeoutError(f"the decoding process did not start in {STARTING_SECONDS:g} s")
        self._connection.recv_bytes()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _serve(connection: "Connection[Any, Any]") -> None:
    """Decode what is requested until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and kills this one
    with suppress(EOFError, BrokenPipeError):
        connection.send_bytes(b"ready")
        while True:
            path, decode = connection.recv()
            outcome = try_file(path, decode)
            if isinstance(outcome, ClipError):
                connection.send_bytes(json.dumps([outcome.reason, outcome.message]).encode())
            else:
                connection.send_bytes(b"null")
                connection.send_bytes(_packed(outcome))


def _packed(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(value), allow_pickle=False)
    return file.getvalue()


def _unpacked(content: bytes) -> object:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    return array if array.ndim else array.item()
