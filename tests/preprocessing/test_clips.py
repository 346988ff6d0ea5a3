"""Which clips there are, and how they are divided."""

from collections import Counter
from pathlib import Path

import pytest

from preprocessing.clips import (
    Clip,
    read_manifest,
    scan_folder,
    stratified_split,
    write_manifest,
)
from preprocessing.errors import SetupError


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
        tmp_path / "labels.csv",
    )
    clips = scan_folder(tmp_path)
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
    with pytest.raises(SetupError, match=wanted):
        scan_folder(tmp_path)


def test_links_out_of_the_folder_need_leave(tmp_path: Path, caplog) -> None:
    root, elsewhere = tmp_path / "raw", tmp_path / "elsewhere"
    touch(root / "dog" / "a.mp4", elsewhere / "b.mp4", elsewhere / "cats" / "c.mp4")
    (root / "dog" / "inward.mp4").symlink_to(root / "dog" / "a.mp4")
    (root / "dog" / "outward.mp4").symlink_to(elsewhere / "b.mp4")
    (root / "dog" / "dangling.mp4").symlink_to(elsewhere / "gone.mp4")
    (root / "cat").symlink_to(elsewhere / "cats")
    (root / "dog" / "deep").mkdir()
    (root / "dog" / "deep" / "cats").symlink_to(elsewhere / "cats")
    (root / "dog" / "deep" / "circle").symlink_to(root / "dog")
    assert [clip.id for clip in scan_folder(root)] == ["dog/a", "dog/inward"]
    assert "3 symbolic links lead out of the folder" in caplog.text
    followed = [clip.id for clip in scan_folder(root, follow_links=True)]
    assert followed == ["cat/c", "dog/a", "dog/deep/cats/c", "dog/inward", "dog/outward"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such folder"):
        scan_folder(tmp_path / "raw")


def test_manifest_with_every_column(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(
        "\ufeffid,path,label,split,start,end,event_start,event_end,note\n"
        'x1,raw/a.mp4,"dog, big",train,,,,,hello\n'
        "x2,/data/b.mp4,cat,TEST,1.5,4,0,2.5,\n",
        encoding="utf-8",
    )
    first, second = read_manifest(path)
    assert (first.id, first.label, first.split, first.start) == ("x1", "dog, big", "train", None)
    assert first.path == tmp_path / "raw" / "a.mp4"
    assert (second.path, second.split) == (Path("/data/b.mp4"), "test")
    assert (second.start, second.end) == (1.5, 4.0)
    assert (first.event_start, first.event_end) == (None, None)
    assert (second.event_start, second.event_end) == (0.0, 2.5)


def test_other_columns_are_passed_over(tmp_path: Path) -> None:
    """Also those that are like one that is there."""
    path = tmp_path / "clips.csv"
    path.write_text(
        "path,label,split,splits,labels,idx,uid,fps,note,video\na.mp4,x,train,9,9,9,9,9,9,9\n"
    )
    (clip,) = read_manifest(path)
    assert (clip.id, clip.label, clip.split) == ("a", "x", "train")


def test_manifest_ids_follow_from_path_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("path,label,start,end\na/b.mp4,x,,\na/b.mp4,x,0,2\na/b.mp4,x,2,\n")
    assert [clip.id for clip in read_manifest(path)] == ["a/b", "a/b@0-2.0", "a/b@2-"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "no column label and path"),
        ("path\na.mp4\n", "no column label"),
        ("path,lable\na.mp4,x\n", "no column 'lable'; did you mean label"),
        ("path,label,splt\na.mp4,x,train\n", "no column 'splt'; did you mean split"),
        ("path,label,spilt\na.mp4,x,train\n", "did you mean split"),
        ("path,label, Split \na.mp4,x,train\n", "no column ' Split '; did you mean split"),
        ("path,label,start,eventstart\na.mp4,x,,1\n", "did you mean event_start"),
        ("path,label,ID\na.mp4,x,1\n", "did you mean id"),
        ("path,label\n", "no rows"),
        ("path,label\na.mp4,\n", "line 2: no label is given"),
        ("path,label,split\na.mp4,x,dev\n", "line 2: split is 'dev'"),
        ("path,label,start\na.mp4,x,soon\n", "line 2: start is soon; give seconds"),
        ("path,label,start,end\na.mp4,x,3,2\n", "line 2: end .2. must be later than start .3."),
        ("path,label,start\na.mp4,x,nan\n", "line 2: start is nan"),
        ("path,label,event_end\na.mp4,x,0\n", "event_end .0. must be later than event_start .0."),
        ("path,label\na.mp4,x\na.mp4,y\n", "share the id 'a'"),
        ("path,label\n" + ",x\n" * 9, r"line 6: no path is given \(and 4 more\)"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match=wanted):
        read_manifest(path)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    clips = [
        Clip("x/1", tmp_path / "raw" / "a,b.mp4", 'dog, "big"', "train", 0.1, 1 / 3),
        Clip("猫", Path("/elsewhere/猫.mp4"), "猫", "test", None, 4.0),
        Clip("z", tmp_path / "raw" / "line\nbreak.mp4", "z", "", 2.5, None),
    ]
    path = tmp_path / "new" / "clips.csv"
    write_manifest(path, clips)
    assert read_manifest(path) == clips
    assert [entry.name for entry in path.parent.iterdir()] == ["clips.csv"]
    assert str(tmp_path) in path.read_text()  # its clips are not below it, so paths are absolute

    beside = tmp_path / "clips.csv"
    write_manifest(beside, clips)
    assert read_manifest(beside) == clips
    assert str(tmp_path) not in beside.read_text()


def test_no_manifest_of_names_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="not UTF-8"):
        write_manifest(tmp_path / "clips.csv", [Clip("a", Path("/a\udcff.mp4"), "a")])
    assert list(tmp_path.iterdir()) == []


def test_all_shared_ids_are_named_with_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("id,path,label\n1,a.mp4,x\n1,b.mp4,y\n2,c.mp4,x\n2,d.mp4,x\n")
    with pytest.raises(SetupError, match=r"a.mp4 \(x\) and b.mp4 \(y\) .* c.mp4 and d.mp4 share"):
        read_manifest(path)


def test_manifest_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_bytes(b"path,label\n\xff\xfe\x00,x\n")
    with pytest.raises(SetupError, match="not a UTF-8 CSV"):
        read_manifest(path)
    with pytest.raises(SetupError, match="no such manifest"):
        read_manifest(tmp_path / "none.csv")


def test_split_is_stratified_seeded_and_blind_to_order() -> None:
    labels = ["a"] * 50 + ["b"] * 10 + ["c"] * 3 + ["d"] * 2 + ["e"]
    ids = [f"{label}{row}" for row, label in enumerate(labels)]
    splits = stratified_split(ids, labels, val=0.1, test=0.2, seed=1)
    counted = Counter(zip(labels, splits, strict=True))
    assert counted == {
        ("a", "train"): 35, ("a", "val"): 5, ("a", "test"): 10,
        ("b", "train"): 7, ("b", "val"): 1, ("b", "test"): 2,
        ("c", "train"): 1, ("c", "val"): 1, ("c", "test"): 1,
        ("d", "train"): 1, ("d", "test"): 1,
        ("e", "train"): 1,
    }  # fmt: skip
    backwards = stratified_split(ids[::-1], labels[::-1], val=0.1, test=0.2, seed=1)
    assert backwards[::-1] == splits
    assert stratified_split(ids, labels, val=0.1, test=0.2, seed=2) != splits
    assert set(stratified_split(ids, labels, val=0.1, test=0, seed=1)) == {"train", "val"}
    with pytest.raises(ValueError, match="under 1"):
        stratified_split(ids, labels, val=0.5, test=0.5)


def test_clips_of_one_origin_stay_together() -> None:
    """Five cuts of each of 20 files, some of two classes; all else is as for 20 clips."""
    files = [f"{number:02}" for number in range(20)]
    kinds = ["ab"[number % 2] for number in range(20)]
    ids = [f"{name}@{cut}" for name in files for cut in range(5)]
    labels = [kinds[row // 5] if row % 5 < 4 else "b" for row in range(100)]
    origins = [ids[row][:2] for row in range(100)]
    splits = stratified_split(ids, labels, origins=origins, val=0.1, test=0.2, seed=1)
    whole = stratified_split([f"{name}@0" for name in files], kinds, val=0.1, test=0.2, seed=1)
    assert splits == [split for split in whole for _ in range(5)]
    assert set(splits) == {"train", "val", "test"}


def test_the_origin_is_the_file_unless_a_source_is_named(tmp_path: Path) -> None:
    manifest = tmp_path / "clips.csv"
    manifest.write_text(
        "path,label,start,end,source\na.mp4,x,0,5,\na.mp4,x,5,9,\nb.mp4,x,,,film\nc.mp4,x,,,film\n"
    )
    first, second, third, fourth = read_manifest(manifest)
    assert first.origin == second.origin == str(tmp_path / "a.mp4")
    assert third.origin == fourth.origin == "film"
    write_manifest(manifest, [first, second, third, fourth])
    assert read_manifest(manifest) == [first, second, third, fourth]
