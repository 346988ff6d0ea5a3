"""All methods by name."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from avcmr.comparison import ablations
from avcmr.comparison.baselines import (
    cca,
    chance,
    cluster_cca,
    contrastive,
    deep_cca,
    dscmr,
    kernel_cca,
    label_space,
    msnsca,
    ridge,
    tnn_c_cca,
)
from avcmr.comparison.baselines.method import Method
from preprocessing.errors import NotFoundError

BASELINES = (
    *chance.METHODS,
    *cca.METHODS,
    *cluster_cca.METHODS,
    *kernel_cca.METHODS,
    *ridge.METHODS,
    *deep_cca.METHODS,
    *label_space.METHODS,
    *contrastive.METHODS,
    *tnn_c_cca.METHODS,
    *dscmr.METHODS,
    *msnsca.METHODS,
)


def all_methods(runs: Path) -> dict[str, Method]:
    """Name → method; our own keep their run folders in ``runs``."""
    return {method.name: method for method in (*BASELINES, *ablations.methods(runs))}


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The named methods, each once, with ``all`` expanded.

    Raises:
        NotFoundError: unknown names; the message has all of them, with close matches.
    """
    known = list(all_methods(Path()))
    wrong = [name for name in names if name not in {*known, "all"}]
    if wrong or not names:
        hints = [_hint(name, known) for name in wrong] or ["no method is named"]
        raise NotFoundError(f"{'; '.join(hints)}. There are: all, {', '.join(known)}")
    wanted = {spelled for name in names for spelled in (known if name == "all" else [name])}
    return tuple(name for name in known if name in wanted)


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"no method {name!r}" + (f"; did you mean {near[0]}?" if near else "")
