"""Flipped bytes in small feature files: an answer in a line, no traceback, no hang."""

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from avcmr.cli import app
from preprocessing.clips import Clip
from preprocessing.media.types import Source
from preprocessing.store import Block, Provenance, Record, Rows, write_store

FLIPS = 150
CLIPS = 24


def write_small_store(path: Path) -> None:
    draw = np.random.default_rng(0)
    splits = ("train", "val", "test")
    records = [
        Record(
            Clip(f"clip{row}", Path(f"/nowhere/{row}.mp4"), "ab"[row % 2], splits[row // 2 % 3]),
            Source(1, 2, "h264", 25.0),
            duration=2.0,
            visual=(2, 4),
            audio=(2, 3),
        )
        for row in range(CLIPS)
    ]
    times, offsets = np.tile([0.5, 1.5], CLIPS), np.arange(CLIPS + 1) * 2
    visual, audio = (draw.normal(size=(2 * CLIPS, dim)).astype(np.float32) for dim in (4, 3))
    block = Block(Rows(visual, times, offsets), Rows(audio, times, offsets))
    write_store(path, Provenance({}, {}, "fake"), records, [(0, block)])


def write_small_published(path: Path, **options: object) -> None:
    draw = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for split in ("train", "val", "test"):
            for modality, dim in (("audio", 3), ("visual", 4)):
                values = draw.normal(size=(8, dim)).astype(np.float32)
                file.create_dataset(f"{modality}_{split}", data=values, **options)
            file[f"lab_{split}"] = np.arange(8) % 2
            file[f"id_{split}"] = [f"{split}{row}" for row in range(8)]
        file.attrs["classes"] = ["a", "b"]


def write_small_compressed(path: Path) -> None:
    write_small_published(path, chunks=(4, 2), compression="gzip")


TRAIN = ["train", "--cpu", "model.hidden=[8]", "batch_size=4", "stage1.max_epochs=1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["features", "validate"], [*TRAIN, "stage2.max_epochs=0", "--runs", "runs", "--features"]],
    ids=["validate", "train"],
)
@pytest.mark.parametrize(
    "write", [write_small_store, write_small_published, write_small_compressed]
)
@pytest.mark.usefixtures("alone")
def test_flipped_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], None],
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.h5")
    content = (tmp_path / "good.h5").read_bytes()
    draw = random.Random(0)
    codes = set()
    for number in range(FLIPS):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        file = tmp_path / f"{number}.h5"
        file.write_bytes(damaged)
        done = CliRunner().invoke(app, [*command, str(file)])
        assert isinstance(done.exception, SystemExit | None), f"flip {number}: {done.exception!r}"
        assert "Traceback" not in done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == (done.exit_code == 2), done.stderr
        assert all(str(file) in error for error in errors)
        codes.add(done.exit_code)
        file.unlink()
    assert {0, 2} <= codes
