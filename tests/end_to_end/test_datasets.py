"""AVE and VEGAS as they lie on a disk become a table of results in four commands."""

import csv
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import h5py
import pytest

from preprocessing.store import FeatureStore
from tests.patience import PATIENCE

AVCMR = Path(sys.executable).with_name("avcmr")
README = Path(__file__).parents[2] / "README.md"
QUICK = ("batch_size=8", "model.hidden=[16]", "stage1.max_epochs=3", "stage2.max_epochs=1")

CLASSES = {"dog": "Bark", "strings": "Violin, fiddle"}
"""Folders of real clips → what AVE would call them."""


def avcmr(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [AVCMR, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


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


def lay_out(clips: Path, root: Path) -> None:
    """Four clips a class, of which one has no file, and one video in two splits; order files."""
    lines: list[str] = []
    rows: dict[str, list[int]] = {"train": [], "val": [], "test": []}

    def add(label: str, video: str, split: str) -> None:
        rows[split].append(len(lines))
        lines.append(f"{label}&{video}&good&0&2\n")

    for folder, label in CLASSES.items():
        files = sorted((clips / folder).glob("*.mp4"))[:4]
        for path, split in zip(files, ("train", "train", "val", "test"), strict=True):
            video = f"-{folder:_<9}{files.index(path)}"
            add(label, video, split)
            shorten(path, root / "AVE" / f"{video}.mp4", 3)
    add("Violin, fiddle", "not_there_4", "train")
    add("Bark", "-strings__0", "test")
    header = "Category&VideoID&Quality&StartTime&EndTime\n"
    (root / "Annotations.txt").write_text(header + "".join(lines))
    (root / "lists").mkdir()
    for split, numbers in rows.items():
        with h5py.File(root / f"{split}_order.h5", "w") as file:
            file["order"] = numbers
        listed = "".join(lines[number] for number in numbers)
        (root / "lists" / f"{split}Set.txt").write_text(listed)


def commands_of_the_readme() -> list[list[str]]:
    """The words of each command that leads from AVE's files to a table of results."""
    page = README.read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "dataset ave " in block)
    lines = [shlex.split(line) for line in block.splitlines()]
    assert {words[0] for words in lines} == {".venv/bin/avcmr"}
    return [words[1:] for words in lines]


def test_the_four_commands_of_the_readme_give_a_table_of_results(assets, tmp_path) -> None:
    lay_out(assets / "clips", tmp_path / "AVE")
    dataset, extract, train, evaluate = commands_of_the_readme()
    listed = avcmr(*dataset, cwd=tmp_path)
    assert listed.stdout == "ave.csv\n"
    assert "no file: 1 of 10 clips, such as AVE/AVE/not_there_4.mp4" in listed.stderr
    assert "in train and in test: 1, kept in both" in listed.stderr
    avcmr(*dataset, "--out", "of-lists.csv", "--splits", "AVE/lists", cwd=tmp_path)
    manifest = (tmp_path / "ave.csv").read_text()
    assert (tmp_path / "of-lists.csv").read_text() == manifest

    avcmr(*extract, "--untrained-audio", cwd=tmp_path)
    rows = list(csv.DictReader(manifest.splitlines()))
    with FeatureStore(tmp_path / "ave.h5") as store:
        assert store.failures == []
        for column, stored in (("id", store.ids), ("split", store.splits), ("label", store.labels)):
            assert [row[column] for row in rows] == list(stored)
        assert {len(store.clip(row).visual) for row in range(len(store))} == {3}
        assert store.events.tolist() == [[0, 2]] * 9

    trained = avcmr(*train, *QUICK, cwd=tmp_path)
    assert "Dataset(4 train, 2 val, 3 test, 2 classes" in trained.stderr
    measured = avcmr(*evaluate, cwd=tmp_path)
    assert measured.stdout == "runs/ave/report/index.html\n"
    assert "runs/ave: 3 test clips" in measured.stderr
    table = {
        row[1]: [float(number) for number in row.groups()[1:]]
        for row in re.finditer(r"(test|chance)" + r"\W+([01]\.\d{3})" * 3, measured.stderr)
    }
    told = json.loads(avcmr(*evaluate, "--json", cwd=tmp_path).stdout)
    maps = [told[key]["map"] for key in ("audio_to_visual", "visual_to_audio")]
    assert table["test"] == pytest.approx([*maps, told["average_map"]], abs=1e-3)
    assert all(0 < chance < 1 for chance in table["chance"])


def test_the_authors_feature_file_alone_gives_a_table_of_results_in_one_command(
    write_published, tmp_path
) -> None:
    """As they publish it: no validation split, ids or names, 28 classes, 128 and 1,024 numbers."""
    write_published(
        tmp_path / "ave_feature_norm.h5",
        {"train": 28 * 6, "test": 28 * 2},
        classes=28,
        dims=(128, 1024),
    )
    done = avcmr(
        *("reproduce", "ave", "--features", "ave_feature_norm.h5"),
        *("--methods", "ours,random", "--seeds", "1"),
        cwd=tmp_path,
    )
    assert done.stdout == "comparisons/ave\n"
    assert "MAP on 56 test clips of ave_feature_norm.h5" in done.stderr
    table = {
        row[1]: [float(number) for number in row.groups()[1:]]
        for row in re.finditer(r"(ours|random)" + r" +([01]\.\d{3})" * 3, done.stderr)
    }
    assert set(table) == {"ours", "random"}, done.stderr
    assert min(table["ours"]) > 0.8
    assert max(table["random"]) < 0.3
    rows = list(csv.DictReader((tmp_path / "comparisons" / "ave" / "comparison.csv").open()))
    assert [row["method"] for row in rows] == ["ours", "random"]
    for row in rows:
        directions = [float(row[key]) for key in ("audio_to_visual", "visual_to_audio")]
        assert table[row["method"]][:2] == pytest.approx(directions, abs=1e-3)


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
