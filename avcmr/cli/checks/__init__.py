"""What the commands need of a machine; each check is one function that returns what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

from avcmr.cli.checks import libraries, machine
from avcmr.cli.checks.machine import CheckError

__all__ = ["COMMANDS", "Check", "CheckError", "Row", "all_checks", "run"]

COMMANDS = ("extract", "train", "evaluate", "search", "search by file")
"""What is checked for. Search by id needs neither decoder nor weights."""


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the machine.

    ``look`` returns what it found in one line, or raises a :class:`CheckError`; ``needed_by`` are
    the commands that cannot run with their defaults then.
    """

    name: str
    needed_by: Sequence[str]
    look: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Row:
    """What a check has found; ``remedy`` says what to do about it, if anything."""

    name: str
    status: Literal["ok", "warning", "error"]
    found: str
    remedy: str = ""


def all_checks(weights: Path | None = None) -> list[Check]:
    """Every check, cheap ones first; ``weights`` is the user's folder of weights."""
    on_ray, on_media = ("extract", "train"), ("extract", "search by file")
    return [
        Check("system", COMMANDS, machine.system),
        Check("memory", on_ray, machine.memory),
        Check("disk", on_ray, partial(machine.disk, Path.cwd())),
        Check("temporary files", on_ray, partial(machine.disk, Path(gettempdir()))),
        Check("dashboard port", (), machine.dashboard_port),
        Check("torch", COMMANDS, libraries.torch_libraries),
        Check("GPU", COMMANDS, libraries.gpu),
        Check("decoders", on_media, libraries.decoders),
        Check("Ray", on_ray, libraries.ray),
        *(
            Check(f"weights {name}", on_media, partial(libraries.weights_of, name, weights))
            for name in ("inception_v3_2015", "vggish", "vggish_pca")
        ),
    ]


def run(check: Check) -> Row:
    """The check's row; an error where the check itself fails."""
    try:
        return Row(check.name, "ok", check.look())
    except CheckError as error:
        return Row(check.name, error.status, error.found, error.remedy)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        remedy = "fix the errors above first; if there are none, reinstall avcmr"
        return Row(check.name, "error", f"cannot be checked ({reason})", remedy)
