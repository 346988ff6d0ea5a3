"""Processes of this machine: which one started which, and ending them for certain."""

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path


def with_descendants(roots: Sequence[int]) -> list[int]:
    """Ids of these processes and of all that they have started, directly or not."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = list(roots)
    for pid in found:  # which grows as it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def handles_of(roots: Sequence[int], stack: ExitStack) -> list[int]:
    """Pidfds of these processes and their descendants: ids alone may be reused.

    ``stack`` closes them.
    """
    handles = []
    for pid in with_descendants(roots):
        with suppress(OSError):
            handles.append(os.pidfd_open(pid))
            stack.callback(os.close, handles[-1])
    return handles


def kill(handles: Sequence[int]) -> None:
    """End the processes of these pidfds, as far as they still run."""
    for handle in handles:
        with suppress(OSError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
