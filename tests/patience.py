"""How long a test waits for what must happen: on any machine longer than it takes there."""

import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("AVCMR_TEST_PATIENCE", "1200"))
"""Seconds. No test measures how fast a machine is; this ends one that would wait forever."""


def eventually(holds: Callable[[], object], what: str, *, every: float = 0.1) -> None:
    """Wait until something holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(every)
