"""``avcmr dataset`` as a user gives it: the manifest, the table, and what must be fixed first."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config import DataConfig
from avcmr.features.dataset import load_dataset
from preprocessing.catalog.manifest import read_manifest
from preprocessing.clips import Clip
from preprocessing.media.encode import write_clip
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.store import FeatureWriter, Provenance

VEGAS = ("dog", "drum", "rail_transport")


def dataset(*arguments: object, exit_code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["dataset", *map(str, arguments)])
    assert done.exit_code == exit_code, done.output
    return done


@pytest.fixture(scope="module")
def vegas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten short clips of each of three classes, as VEGAS names them."""
    root = tmp_path_factory.mktemp("VEGAS")
    for label in VEGAS:
        for number in range(10):
            rng = np.random.default_rng([VEGAS.index(label), number])
            path = root / label / "videos" / f"video_{number:05}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = list(rng.integers(0, 255, (5, 48, 64, 3), np.uint8))
            write_clip(path, frames, 10, rng.normal(0, 0.1, (1, 8_000)).astype(np.float32), 16_000)
    return root


def store(path: Path, clips: list[Clip]) -> int:
    """Extract as avcmr extract would, with random features; how many clips that were."""
    rng = np.random.default_rng(0)
    with FeatureWriter(path, Provenance(config={}, weights={}, decoder="none")) as writer:
        todo = writer.plan(clips).todo
        for clip in todo:
            status = clip.path.stat()
            writer.add(
                clip,
                ClipFeatures(
                    visual=rng.normal(size=(1, 8)).astype(np.float32),
                    audio=rng.normal(size=(1, 4)).astype(np.float32),
                    visual_times=np.zeros(1),
                    audio_times=np.zeros(1),
                    duration=0.5,
                    source=Source(status.st_size, status.st_mtime_ns),
                ),
            )
        writer.finish(clips)
    return len(todo)


def test_the_folds_of_vegas_share_one_extraction(vegas: Path, tmp_path: Path) -> None:
    features = tmp_path / "vegas.h5"
    tested: list[str] = []
    for fold in range(1, 6):
        manifest = tmp_path / f"vegas-{fold}.csv"
        done = dataset("vegas", "--videos", vegas, "--fold", fold, "--out", manifest)
        assert done.stdout == f"{manifest}\n"
        assert "30 of the 28,103 clips that were published are here" in done.stderr
        assert "no clips: 7, baby_cry; chainsaw; fireworks …" in done.stderr
        clips = read_manifest(manifest)
        assert store(features, clips) == (30 if fold == 1 else 0)
        loaded = load_dataset(features, DataConfig())
        assert loaded.class_names == VEGAS
        assert np.bincount(loaded.test.labels).tolist() == [2, 2, 2]
        assert {len(loaded.val) + len(loaded.train), len(loaded.val)} == {24, 3}
        tested += loaded.test.ids
    assert sorted(tested) == sorted(
        f"{label}_video_{number:05}" for label in VEGAS for number in range(10)
    )


def test_a_folder_becomes_a_manifest_and_json(vegas: Path, tmp_path: Path) -> None:
    out = tmp_path / "clips.csv"
    done = dataset("folder", vegas, "--out", out, "--test", 0.4, "--json")
    found = json.loads(done.stdout)
    *classes, everything = found["classes"]
    assert [row["label"] for row in classes] == [*VEGAS]
    assert everything["present"] == {"train": 15, "val": 3, "test": 12}
    assert everything["hours"] * 3600 == pytest.approx(15, abs=2)
    assert (found["missing"], found["unreadable"], found["copies"]) == ([], {}, [])
    assert len(read_manifest(out)) == 30


def test_a_csv_file_is_checked_and_what_is_odd_is_named(vegas: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"junk")
    some = sorted(vegas.glob("dog/videos/*"))[:6]
    rows = [
        *(
            f"{number},{path},[b]dog[/b],{'test' if number % 2 else 'train'}\n"
            for number, path in enumerate(some)
        ),
        "x,broken.mp4,odd,train\n",
        "y,nowhere.mp4,odd,test\n",
        f"z,{some[0]},odd,train\n",
    ]
    mine, out = tmp_path / "mine.csv", tmp_path / "out" / "clips.csv"
    mine.write_text("id,path,label,split\n" + "".join(rows))
    done = dataset("csv", mine, "--out", out)
    table = [line.split() for line in done.stderr.splitlines()]
    assert ["class", "train", "test", "hours", "missing", "copies"] in table
    assert ["[b]dog[/b]", "3", "3", "0.00", "–", "1"] in table
    assert ["odd", "2", "0/1", "0.00", "1", "1"] in table
    assert ["all", "5", "3/4", "0.00", "1", "2"] in table
    assert "no file: 1 of 9 clips, such as" in done.stderr
    assert "unusable (not_media): 1, x; extraction will list them as failed" in done.stderr
    assert "duplicates in several classes: 1, 0" in done.stderr
    assert "no clips in test: 1, odd" in done.stderr
    assert [clip.id for clip in read_manifest(out)] == [*"012345", "x", "z"]

    mine.write_text("id,path,label,split\n" + "".join(rows) + f"leak,{some[1]},odd,train\n")
    done = dataset("csv", mine, "--out", tmp_path / "leaky.csv", exit_code=2)
    assert "leak (train) is the same as 1 (test); --across-splits drop" in done.stderr
    assert not (tmp_path / "leaky.csv").exists()
    done = dataset("csv", mine, "--out", out, "--across-splits", "drop")
    assert "in train and in test: 1, left out of the former" in done.stderr
    assert "leak" not in [clip.id for clip in read_manifest(out)]


def test_neither_a_source_nor_equal_files_are_divided(vegas: Path, tmp_path: Path) -> None:
    """Twelve sources of two clips each, and a copy of one clip."""
    files = sorted(vegas.glob("d*/videos/*"))[:12]
    again = tmp_path / "again.mp4"
    again.write_bytes(files[0].read_bytes())
    rows = [
        f"{number}{cut},{path},{'ab'[number % 2]},film {number},{cut * 0.2},{cut * 0.2 + 0.2}\n"
        for number, path in enumerate(files)
        for cut in (0, 1)
    ]
    rows += [f"other{number},{files[number - 1]},a,film {number},,\n" for number in (3, 7)]
    rows.append(f"again,{again},b,,,\n")
    mine, out = tmp_path / "mine.csv", tmp_path / "clips.csv"
    mine.write_text("id,path,label,source,start,end\n" + "".join(rows))
    for seed in range(10):
        dataset("csv", mine, "--out", out, "--seed", seed)
        clips = read_manifest(out)
        assert {clip.split for clip in clips} == {"train", "val", "test"}
        for names in (
            [clip.source for clip in clips],
            [str(clip.path) for clip in clips],
            [clip.path.read_bytes() for clip in clips],
        ):
            parts = {(name, clip.split) for name, clip in zip(names, clips, strict=True) if name}
            assert len(parts) == len({name for name, _ in parts})


def test_mistakes_get_one_line_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("path,label\n")
    for arguments, wanted in {
        ("ave", "--annotations", tmp_path / "a.txt", "--videos", tmp_path): "no such annotation",
        ("vegas", "--videos", tmp_path): "no videos; expected",
        ("folder", tmp_path): "no videos found",
        ("csv", tmp_path / "mine.csv", "--out", tmp_path / "mine.csv"): "choose another --out",
        ("csv", tmp_path / "mine.csv"): "no rows below the column names",
    }.items():
        done = dataset(*arguments, exit_code=2)
        assert done.stderr.startswith("error: ")
        assert wanted in done.stderr
        assert done.stdout == ""


def test_nothing_is_left_to_train_on(vegas: Path, tmp_path: Path) -> None:
    done = dataset("folder", vegas, "--val", 0.5, "--test", 0.5, exit_code=2)
    assert "--val 0.5 and --test 0.5 leave nothing to train on" in done.stderr
