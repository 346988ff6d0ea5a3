"""Suggestions for unknown names: good ones, and of few comparisons."""

import difflib
from typing import Any

import pytest

from avcmr.retrieval.suggestions import suggestion

IDS = [
    f"{label}/{label}_{number:05}"
    for label in ("dog", "cat", "drum", "bell")
    for number in range(7000)
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("drum/drum_0012", "; did you mean drum/drum_00120 or drum/drum_00121 or drum/drum_00122?"),
        ("04242", "; did you mean dog/dog_04242 or cat/cat_04242 or drum/drum_04242?"),
    ],
)
def test_names_that_contain_it_come_first(name: str, expected: str) -> None:
    assert suggestion(name, IDS) == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("drum/durm_00123", "drum/drum_00123"),
        ("bell/bel_06999", "bell/bell_06999"),
        ("bell_00001.mp4", "bell/bell_00001"),
        ("Cat/cat_01234", "cat/cat_01234"),
    ],
)
def test_misspelt_names(name: str, meant: str) -> None:
    assert meant in suggestion(name, IDS)


def test_nothing_similar() -> None:
    assert suggestion("violin", IDS) == "; one is dog/dog_00000"
    assert suggestion("x" * 1000, IDS) == "; one is dog/dog_00000"


def test_few_names_give_what_difflib_finds() -> None:
    names = ["train", "val", "test", "middle", "high", "low", ""]
    for name in ("tests", "trian", "midle", "hi", "lo", "x", "vla"):
        near = difflib.get_close_matches(name, names, n=3)
        contained = [one for one in names if name in one]
        wanted = " or ".join(contained[:3] or near)
        assert suggestion(name, names) == (
            f"; did you mean {wanted}?" if wanted else "; one is train"
        )


def test_most_of_28_000_ids_are_never_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    close = difflib.get_close_matches

    def counted(word: str, possibilities: list[str], **options: Any) -> list[str]:
        compared.extend(possibilities)
        return close(word, possibilities, **options)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    suggestion("drum/durm_00123", IDS)
    assert 0 < len(compared) <= 100
