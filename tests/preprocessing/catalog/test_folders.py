"""A folder per class."""

from pathlib import Path

import pytest

from preprocessing.catalog.datasets import list_folder
from preprocessing.catalog.folders import scan_folder, videos_below
from preprocessing.errors import AvcmrError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_per_class(tmp_path: Path) -> None:
    touch(
        tmp_path / "dog" / "a.mp4",
        tmp_path / "dog" / "deep" / "a.MKV",
        tmp_path / "猫" / "a.v2.webm",
        tmp_path / "dog" / "notes.txt",
        tmp_path / "dog" / ".b.mp4",
        tmp_path / ".cache" / "c.mp4",
        tmp_path / "dog" / ".ipynb_checkpoints" / "a.mp4",
        tmp_path / "dog" / "deep" / ".Trash-1000" / "files" / "d.mp4",
        tmp_path / "labels.csv",
    )
    clips = scan_folder(tmp_path).clips
    assert [(clip.id, clip.label, clip.split) for clip in clips] == [
        ("dog/a", "dog", ""),
        ("dog/deep/a", "dog", ""),
        ("猫/a.v2", "猫", ""),
    ]
    assert all(clip.path.exists() for clip in clips)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], "no videos found"),
        (["dog/readme.txt"], "no videos found"),
        (["a.mp4", "dog/b.mp4"], "outside any class folder"),
        (["dog/a.mp4", "dog/a.webm"], "share the id 'dog/a'"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, files: list[str], wanted: str) -> None:
    touch(*(tmp_path / name for name in files))
    with pytest.raises(AvcmrError, match=wanted):
        scan_folder(tmp_path)


def test_files_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    suffixes = (".m2ts", ".vob", ".f4v", ".asf", ".OGG")
    touch(*(root / "dog" / f"{suffix[1:]}{suffix}" for suffix in suffixes))
    touch(root / "dog" / "a.txt", root / "dog" / "deep" / "b.TXT", root / "dog" / "film")
    touch(root / "dog" / ".hidden", root / "labels.csv")
    for system in ("__MACOSX", "@eaDir", "lost+found"):
        touch(root / system / "dog" / "x.mp4", root / "dog" / system / "x.mp4")
    touch(root / "dog" / "._x.mp4")
    scan = scan_folder(root)
    assert len(scan.clips) == len(suffixes)
    assert {clip.label for clip in scan.clips} == {"dog"}
    assert scan.notes() == ["passed over 4 files: .txt 2, no suffix 1, .csv 1"]
    assert list_folder(root).notes == tuple(scan.notes())
    assert len(videos_below(root)) == len(suffixes)

    for split in ("train", "test"):
        touch(tmp_path / "divided" / split / "dog" / f"{split}.mp4")
        touch(tmp_path / "divided" / split / "dog" / "notes.md")
    assert list_folder(tmp_path / "divided").notes == ("passed over 2 files: .md 2",)


def test_hidden_files_are_no_videos_of_a_data_set(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "a.mp4", tmp_path / ".Trash-1000" / "a.mp4", tmp_path / "b" / ".c.mp4")
    assert videos_below(tmp_path) == [tmp_path / "b" / "a.mp4"]


def test_links_out_of_the_folder_need_leave(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "raw", tmp_path / "elsewhere"
    touch(root / "dog" / "a.mp4", elsewhere / "b.mp4", elsewhere / "cats" / "c.mp4")
    (root / "dog" / "inward.mp4").symlink_to(root / "dog" / "a.mp4")
    (root / "dog" / "outward.mp4").symlink_to(elsewhere / "b.mp4")
    (root / "dog" / "dangling.mp4").symlink_to(elsewhere / "gone.mp4")
    (root / "cat").symlink_to(elsewhere / "cats")
    (root / "dog" / "deep").mkdir()
    (root / "dog" / "deep" / "cats").symlink_to(elsewhere / "cats")
    (root / "dog" / "deep" / "circle").symlink_to(root / "dog")
    found = scan_folder(root)
    assert [clip.id for clip in found.clips] == ["dog/a", "dog/inward"]
    assert found.notes()[0].startswith("3 symbolic links lead out of the folder")
    followed = [clip.id for clip in scan_folder(root, follow_links=True).clips]
    assert followed == ["cat/c", "dog/a", "dog/deep/cats/c", "dog/inward", "dog/outward"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AvcmrError, match="no such folder"):
        scan_folder(tmp_path / "raw")
