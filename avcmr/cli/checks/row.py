"""What a check finds."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one check has found.

    Attributes:
        name: what was looked at.
        status: ``error`` where the main job cannot run.
        found: in one line.
        remedy: what to do about it; empty where nothing has to be done.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
