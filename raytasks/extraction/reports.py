"""What a working actor is at, by its own reports, so that each part of its job has a deadline."""

import time
from collections.abc import Callable

import ray
from ray.exceptions import RayError

REPORT_SECONDS = 0.5
"""How often an actor is asked."""

SILENCE_SECONDS = 20.0
"""How long an answer may take, on a busy machine; an actor that takes longer is frozen."""


class Reports:
    """Asks one actor, again and again, which parts of its job it is at.

    Args:
        ask: asks the actor, which answers with the seconds since each part began, by its name.
        part_seconds: how long a part may take.
    """

    def __init__(self, ask: Callable[[], ray.ObjectRef], part_seconds: float) -> None:
        self._ask = ask
        self._part_seconds = part_seconds
        self._asked: ray.ObjectRef | None = None
        self._last = time.monotonic()  # question or answer
        self._began: dict[str, float] = {}
        self._late: frozenset[str] = frozenset()

    def update(self) -> bool:
        """Take the answer if there is one, or ask again; whether a part has begun or ended."""
        now = time.monotonic()
        if self._asked is None:
            if now - self._last >= REPORT_SECONDS:
                self._asked, self._last = self._ask(), now
            return False
        if not ray.wait([self._asked], timeout=0)[0]:
            return False
        try:
            report: dict[str, float] = ray.get(self._asked)
        except RayError:  # it has died, and its job will say how
            report = {}
        changed = report.keys() != self._began.keys()
        self._asked, self._last = None, now
        self._began = {part: now - seconds for part, seconds in report.items()}
        self._late = frozenset(part for part, s in report.items() if s > self._part_seconds)
        return changed

    @property
    def overdue(self) -> frozenset[str]:
        """Parts that take too long: by the last answer, or by our own clock if it is frozen."""
        if self._silence <= SILENCE_SECONDS:
            return self._late
        now = time.monotonic()
        return frozenset(p for p, began in self._began.items() if now - began > self._part_seconds)

    @property
    def frozen(self) -> bool:
        """Whether it has not answered for so long that any part would be overdue."""
        return self._silence > self._part_seconds + SILENCE_SECONDS

    @property
    def _silence(self) -> float:
        """Seconds since a question that has no answer yet."""
        return time.monotonic() - self._last if self._asked else 0.0
