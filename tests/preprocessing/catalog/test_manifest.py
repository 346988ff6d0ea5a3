"""CSV files that list clips."""

from pathlib import Path

import pytest

from preprocessing.catalog.manifest import read_manifest, write_manifest
from preprocessing.clips import Clip
from preprocessing.errors import AvcmrError


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
        ("path,label, Split \na.mp4,x,train\n", "no column 'Split'; did you mean split"),
        ("path,label,Label\na.mp4,x,y\n", "column label is given twice; remove"),
        ("path,label,split,split\na.mp4,x,train,test\n", "column split is given twice"),
        ("\n\npath,label\n\na.mp4,\n", "line 5: no label"),
        ('path,label,x\na.mp4,d,"1\n2\n"\nb.mp4,,1\n', "line 5: no label"),
        ("path,label\na.mp4,speech, man\n", "line 2: 3 cells for 2 columns; put quotes"),
        ("path;label\r\na.mp4;speech; man\r\n", "line 2: 3 cells for 2 columns; put quotes"),
        ("path,label,,\na.mp4,speech, man,\n", "line 2: 4 cells for 2 columns"),
        ('path,label\na.mp4,x\nb.mp4,"dog\n', 'line 3: not CSV .* and a " inside it is doubled'),
        ('path,label\na.mp4,"x" y\n', "line 2: not CSV"),
        ("path,label\na.mp4,x\0\n", "line 2: a NUL character"),
        ("path|label\na.mp4|x\n", "no column label and path"),
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
    with pytest.raises(AvcmrError, match=wanted):
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
    with pytest.raises(AvcmrError, match="not UTF-8"):
        write_manifest(tmp_path / "clips.csv", [Clip("a", Path("/a\udcff.mp4"), "a")])
    assert list(tmp_path.iterdir()) == []


def test_all_shared_ids_are_named_with_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text("id,path,label\n1,a.mp4,x\n1,b.mp4,y\n2,c.mp4,x\n2,d.mp4,x\n")
    with pytest.raises(AvcmrError, match=r"a.mp4 \(x\) and b.mp4 \(y\) .* c.mp4 and d.mp4 share"):
        read_manifest(path)


@pytest.mark.parametrize(
    "text",
    [
        "path;label;split\na.mp4;speech, man;train\n",
        '"path"\t"label"\t"split"\na.mp4\tspeech, man\ttrain\n',
        'label; path ;split\n"speech, man"; a.mp4;train\n',
        '\ufeff\n\n,path,label,split,,\n0,a.mp4,"speech, man",train,,\n,,,,,\n',
        'path,label,split\r"a.mp4","speech, man",train\r',
    ],
)
def test_what_spreadsheets_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_manifest(path) == [Clip("a", tmp_path / "a.mp4", "speech, man", "train")]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("path,label\r\na.mp4,x\r\nb.mp4,Möwe\r\n".encode("cp1252"), "line 3: byte f6.*CP1252"),
        ("path\tlabel\na.mp4\tx\n".encode("utf-16"), "UTF-16.*iconv -f UTF-16 .* clips-utf8.csv"),
        (b"PK\x03\x04\x14\x00\xfe\x00", "binary"),
    ],
)
def test_manifests_that_are_not_utf8(tmp_path: Path, data: bytes, wanted: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_bytes(data)
    with pytest.raises(AvcmrError, match=wanted):
        read_manifest(path)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(AvcmrError, match="no such manifest file"):
        read_manifest(tmp_path / "none.csv")


def test_sources_are_kept(tmp_path: Path) -> None:
    manifest = tmp_path / "clips.csv"
    manifest.write_text("path,label,start,end,source\na.mp4,x,0,5,\nb.mp4,x,,,film\n")
    clips = read_manifest(manifest)
    assert [clip.source for clip in clips] == ["", "film"]
    write_manifest(manifest, clips)
    assert read_manifest(manifest) == clips
