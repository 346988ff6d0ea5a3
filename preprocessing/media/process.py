"""Files of strangers are decoded in a process of their own, which may crash or be stopped."""

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
from preprocessing.media.attempt import Decoded, attempt

STARTING_SECONDS = 120.0
"""What the process may take to import its libraries, on a machine with much else to do."""


class DecodingProcess:
    """Does what :func:`preprocessing.media.attempt.attempt` does, with a deadline.

    Several threads may use it at once; it takes one file after the other.

    What comes back is read as JSON and as arrays without objects, and never unpickled: a decoder
    that a file has taken over can send nothing that runs here.

    Args:
        seconds: that one file may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any]

    def __call__(self, path: Path, decode: Callable[[], Decoded]) -> Decoded | ClipError:
        """What ``decode`` makes of a file, an array or a text, or what is wrong with it."""
        with self._lock:
            self._start()
            try:
                self._connection.send((path, decode))
                if not self._connection.poll(self._seconds):
                    self._stop()
                    return ClipError(
                        "decode_timeout",
                        f"{path}: decoding takes longer than {self._seconds:g} s; make it shorter, "
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
        """Have the process ready, which the first file would otherwise wait for."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """Stop the process, and with it what it is at."""
        process = self._process
        if process is not None:
            process.kill()  # also where a thread waits for it, which then sees it gone

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is seen
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
    """Decode what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this one
    with suppress(EOFError, BrokenPipeError):
        connection.send_bytes(b"ready")
        while True:
            path, decode = connection.recv()
            outcome = attempt(path, decode)
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
