"""VEGAS from its folders and names, and its folds."""

from collections import Counter
from pathlib import Path

import pytest

from preprocessing.catalog.datasets import VEGAS_CLASSES, list_vegas, vegas_splits
from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import AvcmrError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def test_folders_and_names_give_the_same_ids(tmp_path: Path) -> None:
    names = [
        f"{label}/videos/video_{number:05}.mp4" for label in VEGAS_CLASSES for number in (0, 7)
    ]
    touch(tmp_path / "folders", *names, "dog/audio/video_00000.wav", "README.txt")
    touch(tmp_path / "flat", *(name.replace("/videos/", "_") for name in names))
    listing = list_vegas(tmp_path / "folders")
    flat = list_vegas(tmp_path / "flat")
    assert [(clip.id, clip.label) for clip in listing.clips] == [
        (f"{label}_video_{number:05}", label) for label in VEGAS_CLASSES for number in (0, 7)
    ]
    assert {(clip.id, clip.label) for clip in flat.clips} == {
        (clip.id, clip.label) for clip in listing.clips
    }
    assert listing.notes == ("20 of the 28,103 clips that were published are here",)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], "no videos; expected"),
        (["cat/video_1.mp4", "x.mp4"], "cat/video_1.mp4 is of no class; x.mp4 is of no class"),
        (["dog/drum_video_1.mp4"], "of two classes by its folder and name: dog, drum"),
        (["dog/a/video_1.mp4", "dog/b/video_1.mp4"], "share the id 'dog_video_1'"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, names: list[str], wanted: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(AvcmrError, match=wanted):
        list_vegas(tmp_path)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AvcmrError, match="no such folder"):
        list_vegas(tmp_path / "none")


def test_the_folds_of_all_of_vegas() -> None:
    """Every clip is tested on once, and the first split has the size that the literature uses."""
    sizes = [3000, 2000, 2501, 2702, 2903, 3104, 2905, 3006, 2907, 3075]
    assert sum(sizes) == 28_103
    labels = [label for label, size in zip(VEGAS_CLASSES, sizes, strict=True) for _ in range(size)]
    clips = [Clip(f"{label}_video_{row:05}", NO_FILE, label) for row, label in enumerate(labels)]
    folds = [vegas_splits(clips, fold=fold) for fold in (1, 2, 3, 4, 5)]
    assert Counter(folds[0]) == {"train": 22_482, "test": 5_621}
    assert all(Counter(splits) == {"train": 4, "test": 1} for splits in zip(*folds, strict=True))
    for splits in folds:
        tested = Counter(
            label for label, split in zip(labels, splits, strict=True) if split == "test"
        )
        for label, size in zip(VEGAS_CLASSES, sizes, strict=True):
            assert tested[label] in (size // 5, -(-size // 5))
