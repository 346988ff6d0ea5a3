"""Run folders on disk."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from avcmr.config_files import load_config
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.training.run_folder import Checkpoint, RunFolder
from preprocessing.errors import NotFoundError, SetupError


def dataset(fingerprint: str = "one") -> Dataset:
    clips = PairedFeatures(("a", "b"), torch.zeros(2, 3), torch.zeros(2, 4), torch.arange(2))
    return Dataset(clips, clips, clips, ("cat", "dog"), (), fingerprint)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    with run.opened(load_config(None, ["seed=7"]), dataset()):
        return run


def last(fingerprint: str, *, finished: bool = False) -> Checkpoint:
    return Checkpoint({}, {"fingerprint": fingerprint, "curriculum": {"finished": finished}})


def test_settings_are_read_back(run: RunFolder) -> None:
    assert run.config() == load_config(None, ["seed=7"])
    assert not run.has("best")
    assert not run.finished


def test_a_checkpoint_is_plain_safetensors(run: RunFolder) -> None:
    rows = torch.arange(12.0).reshape(3, 4)
    tensors = {"weight": rows.T, "step": torch.tensor(5.0), "labels": torch.arange(3)}
    run.save("best", Checkpoint(tensors, {"val_map": 0.25, "class_names": ["cat", "Hünd"]}))
    loaded = run.load("best")
    assert loaded.metadata == {"val_map": 0.25, "class_names": ["cat", "Hünd"]}
    stored = load_file(run.checkpoint("best"))
    assert loaded.tensors.keys() == stored.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(stored[name], value.numpy())
        assert torch.equal(loaded.tensors[name], value)
    assert [file.name for file in run.checkpoint("best").parent.iterdir()] == ["best.safetensors"]


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64])
def test_a_damaged_checkpoint_is_refused(run: RunFolder, content: bytes) -> None:
    with pytest.raises(NotFoundError, match="no such checkpoint"):
        run.load("best")
    run.checkpoint("best").write_bytes(content)
    with pytest.raises(SetupError, match="not a checkpoint of avcmr"):
        run.load("best")


def reopen(run: RunFolder, seed: int, features: str = "one") -> None:
    with run.opened(load_config(None, [f"seed={seed}"]), dataset(features)):
        pass


def test_a_folder_belongs_to_its_settings_and_its_features(run: RunFolder) -> None:
    run.save("last", last("one", finished=True))
    with pytest.raises(SetupError, match=r"seed: 7 → 8.*use another --run"):
        reopen(run, seed=8)
    reopen(run, seed=7)
    assert run.finished
    with pytest.raises(SetupError, match="trained on other features"):
        reopen(run, seed=7, features="another")
    with pytest.raises(NotFoundError, match="not a run folder"):
        RunFolder(run.path.parent / "none").config()


def test_settings_without_a_checkpoint_bind_nothing(run: RunFolder) -> None:
    """Such as those of a training that could not start."""
    run.config_file.write_text("seed: [")
    reopen(run, seed=8, features="another")
    assert run.config().seed == 8


def test_one_training_at_a_time(run: RunFolder) -> None:
    owner = rf"run: is being trained by process {os.getpid()} on {socket.gethostname()} since"
    refused = pytest.raises(SetupError, match=f"{owner}.*use another --run")
    with run.opened(run.config(), dataset()), refused:
        reopen(run, seed=7)
    with pytest.raises(KeyError), run.opened(run.config(), dataset()):
        raise KeyError
    reopen(run, seed=7)


def test_a_killed_training_leaves_no_lock(run: RunFolder) -> None:
    hold = f"""
from pathlib import Path
from preprocessing.store.lock import FolderLock
lock = FolderLock(Path({str(run.path)!r}))
lock.acquire()
print("held", flush=True)
input()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(SetupError, match=f"is being trained by process {holder.pid} on"):
            reopen(run, seed=7)
        holder.kill()
    reopen(run, seed=7)


@pytest.mark.parametrize(
    "name",
    ["index.h5", "embeddings.h5", "metrics.jsonl", "tensorboard", "checkpoints/best.safetensors"],
)
def test_links_out_of_the_folder_are_refused(run: RunFolder, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("private")
    (run.path / name).symlink_to(elsewhere)
    refused = rf"{name}: is a link out of the run folder, to {elsewhere}"
    with pytest.raises(SetupError, match=refused):
        run.config()
    with pytest.raises(SetupError, match=refused):
        reopen(run, seed=7)
    assert elsewhere.read_text() == "private"


def test_links_within_the_folder_and_to_it_are_followed(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "report").mkdir()
    (run.path / "latest").symlink_to("report")
    (tmp_path / "link").symlink_to(run.path)
    assert RunFolder(tmp_path / "link").config() == run.config()


def test_measurements_are_rewound_with_half_a_line(run: RunFolder) -> None:
    assert run.history() == []
    records = [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    for record in records:
        run.append_metrics(record)
    with run.metrics_file.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert run.history() == records
    assert run.history(until=2) == records[:2]
    run.tensorboard.mkdir()
    run.rewind(1)
    assert list(map(json.loads, run.metrics_file.read_text().splitlines())) == records[:1]
    assert not run.tensorboard.exists()
