"""Duplicate clips, and what happens to those in two splits."""

from pathlib import Path

import pytest

from preprocessing.catalog.contents import contents
from preprocessing.catalog.datasets.copies import find_copies, settle_splits
from preprocessing.clips import Clip
from preprocessing.errors import SetupError


def clip(path: Path, id_: str = "", label: str = "a", split="", cut=(None, None)) -> Clip:
    return Clip(id_ or path.name, path, label, split, *cut)


def test_copies_are_equal_files_whose_cuts_overlap(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"a")
    parts = [
        clip(tmp_path / "a", "0-2", cut=(None, 2)),
        clip(tmp_path / "b", "2-4", cut=(2, 4)),
        clip(tmp_path / "a", "3-5", cut=(3, 5)),
        clip(tmp_path / "a", "4-", cut=(4, None)),
        clip(tmp_path / "b", "9-10", cut=(9, 10)),
    ]
    copies = find_copies(parts, contents(parts))
    assert [[part.id for part in group] for group in copies] == [["2-4", "3-5", "4-", "9-10"]]


@pytest.mark.parametrize("across", ["refuse", "as-listed", "drop", "keep"])
def test_clips_in_two_splits(tmp_path: Path, across) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"one content")
    a, b = tmp_path / "a", tmp_path / "b"
    clips = [
        clip(a, "1", split="train"),
        clip(a, "2", "other", split="test"),
        clip(a, "3", split="val"),
        clip(b, "4", split="test"),
    ]
    copies = find_copies(clips, contents(clips))
    if across == "refuse":
        with pytest.raises(SetupError, match=r"1 \(train\) is the same as 2 \(test\); 3 \(val\)"):
            settle_splits(clips, copies, across)
        return
    kept, parted = settle_splits(clips, copies, across)
    assert [clip.id for clip in kept] == (["2", "4"] if across == "drop" else list("1234"))
    assert parted == {("train", "test"): 1, ("val", "test"): 1}


def test_one_file_may_be_listed_twice_but_two_files_may_not_be_equal(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"one content")
    clips = [clip(tmp_path / "a", split="train"), clip(tmp_path / "b", split="test")]
    with pytest.raises(SetupError, match=r"a \(train\) is the same as b \(test\)"):
        settle_splits(clips, find_copies(clips, contents(clips)), "as-listed")
