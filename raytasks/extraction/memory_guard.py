"""A limit to the memory of work whose appetite nobody can foresee."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

ALLOWANCE_BYTES = 4 << 30
"""What a few clips may take while they are decoded: half an hour of picture and sound takes some
3 GiB. The same on every machine, so that the same clips fail on every machine."""

SECONDS_BETWEEN_LOOKS = 0.05


class MemoryGuard:
    """Does work in a thread, and watches meanwhile how much memory this process takes.

    Not by a limit of the operating system's: at one FFmpeg reports invalid data, and threads that
    have nothing to do with the work crash.

    Args:
        allowance: bytes that the process may take beyond what it has when the guard is made.
    """

    def __init__(self, allowance: int = ALLOWANCE_BYTES) -> None:
        self._most = _anonymous_bytes() + allowance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guarded")

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of the work.

        Raises:
            MemoryError: it took too much. The work goes on, and only the end of this process will
                stop it.
        """
        result = self._thread.submit(work)
        while not wait([result], timeout=SECONDS_BETWEEN_LOOKS).done:
            taken = _anonymous_bytes()
            if taken > self._most:
                raise MemoryError(f"{taken >> 20} MiB taken; {self._most >> 20} MiB are allowed")
        return result.result()


def _anonymous_bytes() -> int:
    """Memory of this process alone: neither files nor the object store, which others share."""
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
