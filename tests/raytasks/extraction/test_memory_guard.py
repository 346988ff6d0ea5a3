"""Work that takes too much memory is given up while it still runs."""

import threading

import numpy as np
import pytest

from raytasks.extraction.memory_guard import MemoryGuard

MEBIBYTE = 1 << 20


def test_work_within_the_allowance_is_left_alone() -> None:
    guard = MemoryGuard(256 * MEBIBYTE)
    assert guard.run(lambda: int(np.ones(64 * MEBIBYTE, np.uint8).sum())) == 64 * MEBIBYTE
    with pytest.raises(ZeroDivisionError):
        guard.run(lambda: 1 // 0)


def test_greedy_work_is_given_up() -> None:
    guard = MemoryGuard(128 * MEBIBYTE)
    given_up = threading.Event()

    def greedy() -> None:
        hoard = np.ones(256 * MEBIBYTE, np.uint8)
        assert given_up.wait(60), len(hoard)

    try:
        with pytest.raises(MemoryError, match="MiB taken"):
            guard.run(greedy)
    finally:
        given_up.set()
