"""Messages and progress on stderr; results go to stdout."""

import time
from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)

_SECONDS_BETWEEN_LINES = 5.0
"""How often progress is printed without a terminal."""


def warn(warnings: Iterable[str]) -> None:
    """Print each on a line of its own."""
    for warning in warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)


class ProgressLine:
    """A progress bar on a terminal; elsewhere a plain line every few seconds."""

    def __init__(self, what: str, total: int | None) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._what = what
        self._task = self._bar.add_task(what, total=total, state="starting")
        self._printed = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, completed: int, state: str) -> None:
        """Show the progress."""
        self._bar.update(self._task, completed=completed, state=state)
        now = time.monotonic()
        if not console.is_terminal and now - self._printed >= _SECONDS_BETWEEN_LINES:
            self._printed = now
            console.print(f"{self._what} {state}", markup=False)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False)
