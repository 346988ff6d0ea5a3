"""A watchdog for the memory of work whose needs cannot be foreseen."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

ALLOWANCE_BYTES = 4 << 30
"""What a few clips may take while they are decoded: half an hour of video takes some 3 GiB. The
same on every machine, so that the same clips fail on every machine."""

_POLL_SECONDS = 0.05


class MemoryGuard:
    """Runs work in a thread while it watches the memory of this process.

    A limit of the operating system would not do: at one FFmpeg reports invalid data, and threads
    that have nothing to do with the work crash.

    Args:
        allowance: bytes that the process may take beyond what it has when the guard is created.
    """

    def __init__(self, allowance: int = ALLOWANCE_BYTES) -> None:
        self._most = _anonymous_bytes() + allowance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guarded")

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of the work.

        Raises:
            MemoryError: it took too much. The work continues, and only the end of this process
                stops it.
        """
        result = self._thread.submit(work)
        while not wait([result], timeout=_POLL_SECONDS).done:
            taken = _anonymous_bytes()
            if taken > self._most:
                raise MemoryError(f"{taken >> 20} MiB taken; {self._most >> 20} MiB are allowed")
        return result.result()


def _anonymous_bytes() -> int:
    """Memory of this process alone, without files and the object store, which are shared."""
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
