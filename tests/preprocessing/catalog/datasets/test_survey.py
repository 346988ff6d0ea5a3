"""What a survey counts, on files of known length."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from preprocessing.catalog.datasets import Listing, list_csv, list_folder, survey
from preprocessing.catalog.splits import stratified_split
from preprocessing.clips import Clip
from preprocessing.errors import AvcmrError
from preprocessing.media.encode import write_clip


def write(path: Path, seconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(seconds).integers(0, 255, (10 * seconds, 48, 64, 3), np.uint8)
    write_clip(path, list(frames), 10, np.zeros((1, 16_000 * seconds), np.float32), 16_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("survey")
    for number, seconds in enumerate((1, 2, 3, 4)):
        write(root / "a" / f"{number}.mp4", seconds)
    write(root / "b" / "0.mp4", 5)
    (root / "b" / "again.mp4").write_bytes((root / "a" / "1.mp4").read_bytes())
    (root / "b" / "broken.mp4").write_bytes(b"junk")
    (root / "b" / "empty.mp4").touch()
    return root


def test_classes_by_splits_and_hours(folder: Path) -> None:
    clips = [
        Clip("a0", folder / "a" / "0.mp4", "a", "train"),
        Clip("a1", folder / "a" / "1.mp4", "a", "train"),
        Clip("a3", folder / "a" / "3.mp4", "a", "test", 1.0, 2.5),
        Clip("b0", folder / "b" / "0.mp4", "b", "train", 3.0, 99.0),
        Clip("b1", folder / "b" / "again.mp4", "b", "train"),
        Clip("b2", folder / "b" / "broken.mp4", "b", "test"),
        Clip("b3", folder / "b" / "empty.mp4", "b", "test"),
    ]
    missing = (Clip("a9", folder / "a" / "9.mp4", "a", "val"),)
    progress: list[tuple[int, int]] = []
    found = survey(
        Listing(tuple(clips), missing, ("b", "a", "c"), ("first",)),
        on_probe=lambda *done: progress.append(done),
    )
    b, a, everything = found.rows()
    assert found.splits == ("train", "val", "test")
    assert (a.label, a.present, a.missing) == ("a", {"train": 2, "test": 1}, {"val": 1})
    assert (b.label, b.present, b.missing.total()) == ("b", {"train": 2, "test": 2}, 0)
    assert a.hours * 3600 == pytest.approx(1 + 2 + 1.5, abs=0.1)
    assert b.hours * 3600 == pytest.approx(2 + 2, abs=0.1)
    assert everything.hours == pytest.approx(a.hours + b.hours)
    assert (a.copies, b.copies, everything.copies) == (1, 1, 2)
    assert {id_: error.reason for id_, error in found.unreadable.items()} == {
        "b2": "not_media",
        "b3": "empty",
    }
    assert found.notes == ("first", "no clips: 1, c", "no clips in val: 2, b; a")
    assert progress[-1] == (7, 7)


def test_a_folder_of_classes_is_divided_with_equal_files_together(folder: Path) -> None:
    divide = partial(stratified_split, val=0.2, test=0.3, seed=0)
    found = survey(list_folder(folder), divide=divide)
    assert {clip.id for clip in found.clips} == {
        *(f"a/{number}" for number in range(4)),
        *(f"b/{name}" for name in ("0", "again", "broken", "empty")),
    }
    split_of = {clip.id: clip.split for clip in found.clips}
    assert set(split_of.values()) == {"train", "val", "test"}
    assert split_of["a/1"] == split_of["b/again"]
    assert found.in_two_splits == {}


def test_folders_of_splits(tmp_path: Path) -> None:
    for name in ("train/a/0.mp4", "test/a/0.mp4", "test/b/1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    listing = list_folder(tmp_path)
    assert {(clip.id, clip.label, clip.split) for clip in listing.clips} == {
        ("train/a/0", "a", "train"),
        ("test/a/0", "a", "test"),
        ("test/b/1", "b", "test"),
    }
    assert listing.classes == ("a", "b")
    (tmp_path / "dog").mkdir()
    with pytest.raises(AvcmrError, match=r"folders of splits .train, test. beside others .dog."):
        list_folder(tmp_path)
    with pytest.raises(AvcmrError, match="no such folder"):
        list_folder(tmp_path / "none")


def test_a_csv_file_with_absent_files(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    table = tmp_path / "mine.csv"
    table.write_text("path,label,split\na.mp4,x,train\nb.mp4,y,test\n")
    listing = list_csv(table)
    assert [clip.id for clip in listing.clips] == ["a"]
    assert [clip.id for clip in listing.missing] == ["b"]
    table.write_text("path,label,split\na.mp4,x,train\nb.mp4,y,\n")
    with pytest.raises(AvcmrError, match="1 of 2 rows have no split"):
        list_csv(table)
    table.write_text("path,label\nb.mp4,y\n")
    with pytest.raises(AvcmrError, match=r"none of the 1 files exists, such as .*b.mp4"):
        list_csv(table)
