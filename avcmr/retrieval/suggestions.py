"""Suggestions for a name that does not exist, fast also among tens of thousands."""

import difflib
import heapq
from collections.abc import Collection

_SHORTLIST = 50
"""Names compared by difflib, which takes some 0.1 ms each."""

_CUTOFF = 0.6
"""Least ratio of difflib that counts as similar."""


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of an error message: "; did you mean …?", or one of the known names.

    Names that contain ``name`` come first, then the most similar ones by difflib.
    """
    similar = [one for one in known if name in one][:3]
    similar = similar or difflib.get_close_matches(
        name, _shortlist(name, known), n=3, cutoff=_CUTOFF
    )
    return f"; did you mean {' or '.join(similar)}?" if similar else f"; one is {next(iter(known))}"


def _shortlist(name: str, known: Collection[str]) -> list[str]:
    """The names that share the most bigrams with ``name``."""
    longest = (2 / _CUTOFF - 1) * len(name)  # at other lengths no ratio reaches the cutoff
    shortest = len(name) ** 2 / longest if name else 0
    bigrams = {name[at : at + 2] for at in range(len(name) - 1)}
    return heapq.nlargest(
        _SHORTLIST,
        (one for one in known if shortest <= len(one) <= longest),
        key=lambda one: sum(bigram in one for bigram in bigrams),
    )
