"""AVE as its authors lay it out: classes, official splits, events, and what is absent."""

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
import yaml

from preprocessing.catalog.datasets import AVE15_CLASSES, AVE_CLASSES, Listing, list_ave
from preprocessing.errors import AvcmrError

SPLITS = ("train", "val", "test")
LINES = (
    "Bark&bark______0&good&0&10\n",
    "Bark&bark______1&good&2&5\n",
    "Bark&bark______2&good&0&4\n",
    "Banjo&both______3&good&0&10\n",
    "Mandolin&both______3&good&0&10\n",
    "Truck&truck_____4&good&0&0\n",
)
ROWS = {"train": [0, 1, 3, 5], "val": [2], "test": [4]}


def lay_out(root: Path, lines: tuple[str, ...] = LINES, rows: dict[str, list[int]] = ROWS) -> None:
    (root / "AVE").mkdir(parents=True)
    (root / "Annotations.txt").write_text("".join(lines))
    for name, numbers in rows.items():
        (root / f"{name}Set.txt").write_text("".join(lines[number] for number in numbers))
    for video in {line.split("&")[1] for line in lines if line.count("&") > 1}:
        (root / "AVE" / f"{video}.mp4").write_bytes(video.encode())


def listed(root: Path, **options) -> Listing:
    return list_ave(root / "Annotations.txt", root / "AVE", **options)


@pytest.fixture(scope="module")
def official(assets: Path) -> list[tuple[str, str, str]]:
    """(label, video, split) of every official row, read without avcmr."""
    lines = (assets / "AVE" / "Annotations.txt").read_text().splitlines()
    split_of = {}
    for name in SPLITS:
        with h5py.File(assets / "AVE" / f"{name}_order.h5") as file:
            split_of |= dict.fromkeys(file["order"][()].tolist(), name)
    return [(*line.split("&")[:2], split_of[row]) for row, line in enumerate(lines)]


@pytest.fixture(scope="module")
def wild(official, assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official annotations, and all videos but every fiftieth."""
    root = tmp_path_factory.mktemp("ave")
    for name in ("Annotations.txt", *(f"{split}_order.h5" for split in SPLITS)):
        (root / name).symlink_to(assets / "AVE" / name)
    (root / "AVE").mkdir()
    for number, video in enumerate(sorted({video for _, video, _ in official})):
        if number % 50:
            (root / "AVE" / f"{video}.mp4").touch()
    return root


def test_the_official_data_set(wild: Path, official) -> None:
    listing = listed(wild)
    clips = [*listing.clips, *listing.missing]
    assert len(clips) == 4143
    assert Counter(clip.split for clip in clips) == {"train": 3339, "val": 402, "test": 402}
    assert len({clip.label for clip in clips}) == 28
    assert {clip.label for clip in clips} == set(listing.classes) == set(AVE_CLASSES)
    assert len({clip.id for clip in clips}) == 4143
    assert len({clip.path for clip in clips}) == 4097
    videos = {split: {clip.path for clip in clips if clip.split == split} for split in SPLITS}
    assert len(videos["test"] & videos["train"]) == 8
    assert len(videos["val"] & videos["train"]) == 10
    found = {(clip.label, clip.path.stem): clip.split for clip in clips}
    assert found == {(label, video): split for label, video, split in official}


def test_what_is_absent_is_told_by_class_and_split(wild: Path, official) -> None:
    there = {path.stem for path in (wild / "AVE").iterdir()}
    absent = Counter((label, split) for label, video, split in official if video not in there)
    missing = listed(wild).missing
    assert Counter((clip.label, clip.split) for clip in missing) == absent
    assert len(missing) == absent.total() > 80


def test_the_text_lists_say_the_same_as_the_order_files(wild: Path, official, tmp_path) -> None:
    lines = (wild / "Annotations.txt").read_text().splitlines(keepends=True)
    for name in SPLITS:
        rows = [line for line, (_, _, split) in zip(lines, official, strict=True) if split == name]
        (tmp_path / f"{name}Set.txt").write_text("".join(reversed(rows)))
    assert listed(wild, splits=tmp_path) == listed(wild)


def test_ave15_is_the_subset_of_the_paper_in_its_order(wild: Path) -> None:
    listing = listed(wild, classes=AVE15_CLASSES)
    clips = [*listing.clips, *listing.missing]
    assert Counter(clip.split for clip in clips) == {"train": 1625, "val": 195, "test": 195}
    config = yaml.safe_load((Path(__file__).parents[4] / "configs" / "ave15.yaml").read_text())
    assert tuple(config["data"]["classes"]) == AVE15_CLASSES
    assert {clip.id for clip in listing.clips} <= {clip.id for clip in listed(wild).clips}


def test_ids_tell_several_events_of_one_video_apart(tmp_path: Path) -> None:
    lay_out(tmp_path)
    listing = listed(tmp_path)
    assert [(clip.id, clip.split) for clip in listing.clips] == [
        ("bark______0", "train"),
        ("bark______1", "train"),
        ("bark______2", "val"),
        ("both______3/Banjo", "train"),
        ("both______3/Mandolin", "test"),
        ("truck_____4", "train"),
    ]
    assert all(clip.path.read_bytes().decode() == clip.path.stem for clip in listing.clips)
    of_one = listed(tmp_path, classes=("Banjo",))
    assert [clip.id for clip in of_one.clips] == ["both______3/Banjo"]


def test_clips_are_whole_or_cut_to_their_event(tmp_path: Path) -> None:
    lay_out(tmp_path)

    def cuts(listing: Listing) -> dict[str, tuple[float | None, float | None]]:
        return {clip.id: (clip.start, clip.end) for clip in listing.clips if clip.end is not None}

    assert cuts(listed(tmp_path)) == {}
    assert cuts(listed(tmp_path, cut="train")) == {"bark______1": (2, 5)}
    listing = listed(tmp_path, cut="all")
    assert cuts(listing) == {"bark______1": (2, 5), "bark______2": (0, 4)}
    assert listing.notes == ("with an event of no length: 1, left whole",)


@pytest.mark.parametrize("cut", ["none", "all"])
def test_events_are_counted_from_the_start_of_the_clip(
    tmp_path: Path, cut: Literal["none", "all"]
) -> None:
    lay_out(tmp_path)
    clips = {clip.id: clip for clip in listed(tmp_path, cut=cut).clips}
    start = clips["bark______1"].start or 0
    assert start == (2 if cut == "all" else 0)
    assert (clips["bark______1"].event_start, clips["bark______1"].event_end) == (
        2 - start,
        5 - start,
    )
    assert [clip.id for clip in clips.values() if clip.event_end is None] == ["truck_____4"]


def test_a_line_of_column_names_and_rows_of_no_split(tmp_path: Path) -> None:
    lay_out(tmp_path, rows={"train": [0, 1], "val": [2], "test": [4]})
    path = tmp_path / "Annotations.txt"
    path.write_text("Category&VideoID&Quality&StartTime&EndTime\n" + path.read_text())
    listing = listed(tmp_path)
    assert len(listing.clips) == 4
    assert listing.notes == ("in none of the three splits: 2, left out",)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("Bark&bark______9&good&0", "line 7: 4 fields, not class&video&quality&start&end"),
        ("Barck&bark______9&good&0&10", "line 7: AVE has no class 'Barck'; did you mean 'Bark'"),
        ("Bark&../../passwd&good&0&10", "line 7: '../../passwd' is not the id of a YouTube video"),
        ("Bark&bark______9&good&zero&10", "line 7: 'zero' and '10' are not seconds"),
        ("Bark&bark______9&good&5&3", "line 7: an event from 5 to 3 s"),
        ("Bark&bark______9&good&0&nan", "line 7: an event from 0 to nan s"),
        ("Bark&bark______0&good&0&10", "line 7: Bark, bark______0 is in line 1 too"),
        ("x\ny\nz\nx\ny\nz", "line 11: 1 fields.* (and 1 more)"),
    ],
)
def test_annotations_that_cannot_be_right(tmp_path: Path, line: str, wanted: str) -> None:
    lay_out(tmp_path)
    with (tmp_path / "Annotations.txt").open("a") as file:
        file.write(line)
    with pytest.raises(AvcmrError, match=re.escape(wanted).replace(r"\.\*", ".*")):
        listed(tmp_path)


def test_all_that_is_absent_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(AvcmrError) as caught:
        list_ave(tmp_path / "a.txt", tmp_path / "videos", splits=tmp_path / "splits")
    assert all(name in str(caught.value) for name in ("a.txt", "videos", "splits"))


def test_folders_that_cannot_be_right(tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / "AVE" / "again").mkdir()
    (tmp_path / "AVE" / "again" / "bark______0.mkv").touch()
    two = r"again/bark______0.mkv and bark______0.mp4 are of one video"
    with pytest.raises(AvcmrError, match=two):
        listed(tmp_path)
    with pytest.raises(
        AvcmrError, match=r"none of the 2 clips has a file; expected both______3.mp4"
    ):
        list_ave(
            tmp_path / "Annotations.txt", tmp_path / "AVE" / "again", classes=("Banjo", "Mandolin")
        )


def test_lists_that_cannot_be_right(tmp_path: Path) -> None:
    lay_out(tmp_path, rows={"train": [0, 1, 2], "val": [2], "test": [4]})
    with pytest.raises(AvcmrError, match=r"valSet.txt: Bark, bark______2 is in trainSet.txt too"):
        listed(tmp_path)
    (tmp_path / "valSet.txt").write_text("Goat&goat______9&good&0&10\n")
    with pytest.raises(AvcmrError, match="Goat, goat______9 is not in the annotations"):
        listed(tmp_path)
    (tmp_path / "valSet.txt").unlink()
    with pytest.raises(AvcmrError, match=r"absent: valSet.txt, train_order.h5"):
        listed(tmp_path)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ([3, 6], "row 6, where the annotations have rows 0 to 5"),
        ([3, 0], "row 0 is in train_order.h5 too"),
        ([3.5], "must be a list of row numbers"),
        (None, "not an HDF5 file"),
    ],
)
def test_order_files_that_cannot_be_right(tmp_path: Path, order, wanted: str) -> None:
    lay_out(tmp_path, rows={})
    for name, rows in {"train": [0, 1], "val": [2], "test": order}.items():
        if rows is None:
            (tmp_path / f"{name}_order.h5").write_text("no HDF5")
            continue
        with h5py.File(tmp_path / f"{name}_order.h5", "w") as file:
            file["order"] = np.array(rows)
    with pytest.raises(AvcmrError, match=f"test_order.h5: .*{wanted}"):
        listed(tmp_path)
