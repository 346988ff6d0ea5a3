"""Clips that are one and the same, against a plain comparison of all bytes with all."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from preprocessing.catalog.datasets.copies import (
    contents,
    find_copies,
    settle_splits,
    split_by_content,
)
from preprocessing.clips import Clip
from preprocessing.errors import SetupError


def clip(path: Path, id_: str = "", label: str = "a", split="", cut=(None, None)) -> Clip:
    return Clip(id_ or path.name, path, label, split, *cut)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files of few sizes and few contents; two of them empty, one a link, one not there."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(30):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(bytes(rng.integers(2, size=rng.integers(1, 5)).tolist()))
        paths.append(path)
    (tmp_path / "alone.mp4").write_bytes(b"x" * 99)
    for name in ("empty.mp4", "empty2.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "link.mp4").symlink_to(paths[0])
    names = ("alone", "empty", "empty2", "link", "none")
    return [*paths, *(tmp_path / f"{name}.mp4" for name in names)]


def test_equal_files_have_one_name(files: list[Path]) -> None:
    progress = []
    content = contents([clip(path) for path in files], lambda *done: progress.append(done))
    for one, other in itertools.combinations(files, 2):
        readable = one.is_file() and other.is_file() and one.stat().st_size > 0
        same = readable and one.read_bytes() == other.read_bytes()
        assert (content[one.name] == content[other.name]) == same, (one, other)
    assert progress[-1] == (30, 30)  # neither the file of its own size, nor the empty ones


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


def test_splits_of_our_own_never_part_equal_files(files: list[Path]) -> None:
    clips = [clip(path) for path in files]
    content = contents(clips)
    rng = np.random.default_rng(1)
    divided = split_by_content(
        clips, content, lambda ids, _: rng.choice(["train", "test"], len(ids)).tolist()
    )
    assert [clip.id for clip in divided] == [path.name for path in files]
    assert {clip.split for clip in divided} == {"train", "test"}
    for one, other in itertools.combinations(divided, 2):
        assert content[one.id] != content[other.id] or one.split == other.split
