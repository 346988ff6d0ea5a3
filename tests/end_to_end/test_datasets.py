"""AVE and VEGAS as they lie on a disk become a table of results in four commands."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import pytest

from preprocessing.store import FeatureStore

AVCMR = Path(sys.executable).with_name("avcmr")
QUICK = ("batch_size=8", "model.hidden=[16]", "stage1.max_epochs=3", "stage2.max_epochs=1")

CLASSES = {"dog": "Bark", "strings": "Violin, fiddle"}
"""Folders of real clips → what AVE would call them."""


def avcmr(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [AVCMR, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def lay_out(clips: Path, root: Path) -> None:
    """Four clips a class, of which one has no file, and one video in two splits."""
    (root / "AVE").mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}

    def add(label: str, video: str, split: str) -> None:
        lines[split].append(f"{label}&{video}&good&0&2\n")

    for folder, label in CLASSES.items():
        files = sorted((clips / folder).glob("*.mp4"))[:4]
        for path, split in zip(files, ("train", "train", "val", "test"), strict=True):
            video = f"-{folder:_<9}{files.index(path)}"
            add(label, video, split)
            (root / "AVE" / f"{video}.mp4").symlink_to(path)
    add("Violin, fiddle", "not_there_4", "train")
    add("Bark", "-strings__0", "test")
    for split, listed in lines.items():
        (root / f"{split}Set.txt").write_text("".join(listed))
    everything = [line for listed in lines.values() for line in listed]
    header = "Category&VideoID&Quality&StartTime&EndTime\n"
    (root / "Annotations.txt").write_text(header + "".join(everything))


@pytest.mark.slow
def test_from_the_files_of_ave_to_a_table_of_results(assets, tmp_path) -> None:
    lay_out(assets / "clips", tmp_path / "AVE_Dataset")
    listed = avcmr(
        *("dataset", "ave", "--annotations", "AVE_Dataset/Annotations.txt"),
        *("--videos", "AVE_Dataset/AVE", "--cut", "all"),
        cwd=tmp_path,
    )
    assert listed.stdout == "ave.csv\n"
    assert "no file: 1 of 10 clips, such as AVE_Dataset/AVE/not_there_4.mp4" in listed.stderr
    assert "in train and in test: 1, kept in both" in listed.stderr

    avcmr("extract", "--manifest", "ave.csv", "--out", "ave.h5", "--untrained-audio", cwd=tmp_path)
    rows = list(csv.DictReader((tmp_path / "ave.csv").read_text().splitlines()))
    with FeatureStore(tmp_path / "ave.h5") as store:
        assert store.failures == []
        for column, stored in (("id", store.ids), ("split", store.splits), ("label", store.labels)):
            assert [row[column] for row in rows] == list(stored)
        assert {len(store.clip(row).visual) for row in range(len(store))} == {2}  # the cut: 2 s

    trained = avcmr("train", "--features", "ave.h5", *QUICK, cwd=tmp_path)
    assert "Dataset(4 train, 2 val, 3 test, 2 classes" in trained.stderr
    measured = avcmr("evaluate", "runs/ave", "--json", cwd=tmp_path)
    assert 0 < json.loads(measured.stdout)["average_map"] <= 1


def shorten(source: Path, target: Path, seconds: float) -> None:
    """The first seconds of a file, without decoding."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        streams = [reading.streams.video[0], reading.streams.audio[0]]
        copies = {stream.index: writing.add_stream_from_template(stream) for stream in streams}
        for packet in reading.demux(streams):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = copies[packet.stream_index]
                writing.mux(packet)


@pytest.mark.slow
def test_from_the_files_of_vegas_to_a_table_of_results(assets, tmp_path) -> None:
    for label in ("dog", "drum"):
        for number, path in enumerate(sorted((assets / "clips" / label).glob("*.mp4"))[:5]):
            shorten(path, tmp_path / "VEGAS" / label / "videos" / f"video_{number:05}.mp4", 2)
    listed = avcmr("dataset", "vegas", "--videos", "VEGAS", cwd=tmp_path)
    assert listed.stdout == "vegas.csv\n"

    avcmr(
        *("extract", "--manifest", "vegas.csv", "--out", "vegas.h5", "--untrained-audio"),
        cwd=tmp_path,
    )
    with FeatureStore(tmp_path / "vegas.h5") as store:
        assert store.failures == []
        assert Counter(zip(store.labels, store.splits, strict=True)) == {
            ("dog", "train"): 3,
            ("dog", "test"): 1,
            ("drum", "train"): 4,
            ("drum", "test"): 1,
        }
    # Another fold is other splits of the same clips.
    avcmr("dataset", "vegas", "--videos", "VEGAS", "--fold", "2", "--out", "2.csv", cwd=tmp_path)
    again = avcmr(
        *("extract", "--manifest", "2.csv", "--out", "vegas.h5", "--untrained-audio"), cwd=tmp_path
    )
    assert "9 clips: 9 done, 0 to do" in again.stderr

    settings = (*QUICK, "data.val_fraction=0.25")
    avcmr("train", "--features", "vegas.h5", "--config", "vegas", *settings, cwd=tmp_path)
    measured = avcmr("evaluate", "runs/vegas", "--json", cwd=tmp_path)
    assert 0 < json.loads(measured.stdout)["average_map"] <= 1
