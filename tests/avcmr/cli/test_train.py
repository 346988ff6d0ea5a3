"""``avcmr train`` as a user gives it, with one worker: no Ray, Ctrl-C, resuming."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.cli.train import needs_ray
from avcmr.metrics.collapse import COLLAPSED_BELOW
from avcmr.training.run_folder import RunFolder
from preprocessing.store.lock import FolderLock
from tests.patience import PATIENCE

QUICK = [
    "batch_size=16",
    "model.hidden=[32]",
    "stage1.max_epochs=5",
    "stage2.max_epochs=3",
    "stage1.patience=99",
    "stage2.patience=99",
]


def avcmr_train(folder: Path, features: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the command in ``folder``."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    folder.mkdir(exist_ok=True)
    command = Path(sys.executable).with_name("avcmr")
    return subprocess.Popen(
        [command, "train", "--cpu", "--features", features, "--run", "a", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_training_of_a_run_is_refused(feature_file, tmp_path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    with FolderLock(run):
        training = avcmr_train(tmp_path, feature_file(), *QUICK)
        _, said = training.communicate(timeout=PATIENCE)
    assert training.returncode == 2
    assert said.splitlines()[-1].startswith(
        f"error: runs/a: is being trained by process {os.getpid()} on {socket.gethostname()} since"
    )
    assert not RunFolder(run).history()


def test_one_worker_trains_without_ray_and_a_finished_run_is_left_alone(
    feature_file, tmp_path
) -> None:
    features = feature_file()
    for workers in ([], ["--workers", "1"]):
        out, narration = avcmr_train(tmp_path, features, *workers, *QUICK).communicate(
            timeout=PATIENCE
        )
        assert out == "runs/a\n", narration
        assert "best validation MAP" in narration
        assert "Ray" not in narration
        assert ("already trained" in narration) == bool(workers)
    assert RunFolder(tmp_path / "runs" / "a").finished


def status() -> tuple[int, str]:
    shown = CliRunner().invoke(app, ["status"])
    return shown.exit_code, shown.stdout


def test_ctrl_c_is_answered_and_the_same_command_goes_on(feature_file, tmp_path, alone) -> None:
    """What was interrupted ends bit for bit as what was not; ``avcmr status`` knows of both."""
    features, settings = feature_file(), [*QUICK, "stage1.max_epochs=60"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    _, narration = avcmr_train(whole, features, *settings).communicate(timeout=PATIENCE)
    measured = RunFolder(cut / "runs" / "a").metrics_file

    process = avcmr_train(cut, features, *settings)
    while not measured.exists() or measured.read_text().count("\n") < 10:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)  # it needs the processor more than we do
    process.send_signal(signal.SIGSTOP)
    code, shown = status()
    assert code == 0 and "training of a" in shown
    assert any(  # it may have been stopped between its file and its announcement
        all(
            text in shown
            for text in (
                f"{epoch['epoch']}, stage 1",
                f"{epoch['loss']:.4f}",
                f"{epoch['val_map_audio_to_visual']:.3f}",
            )
        )
        for epoch in RunFolder(cut / "runs" / "a").history()[-2:]
    ), shown
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    out, narration = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "interrupted; the same command goes on from here" in narration
    assert "Traceback" not in narration
    assert status() == (1, "nothing runs: no extraction, no training\n")
    assert not RunFolder(cut / "runs" / "a").finished

    out, narration = avcmr_train(cut, features, *settings).communicate(timeout=PATIENCE)
    assert out == "runs/a\n", narration
    expected, found = (RunFolder(f / "runs" / "a").load("last").tensors for f in (whole, cut))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    ("workers", "cpu", "address", "gpus", "expected"),
    [
        (None, False, None, 0, False),
        (None, False, None, 1, False),
        (None, False, None, 2, True),
        (None, True, None, 2, False),
        (1, False, None, 2, False),
        (2, True, None, 0, True),
        (1, True, "auto", 0, True),
    ],
)
def test_ray_is_for_several_workers_or_a_cluster(
    monkeypatch, workers, cpu, address, gpus, expected
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert needs_ray(workers, cpu=cpu, address=address) == expected
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert needs_ray(workers, cpu=cpu, address=address)


COLLAPSING = ["stage1.mining=hard", "stage1.max_epochs=30", "stage2.max_epochs=0"]
CURRICULUM = ["stage1.max_epochs=20", "stage2.max_epochs=10", "stage2.patience=99"]


def test_a_collapse_is_warned_of_once_and_the_curriculum_does_not_collapse(
    feature_file, tmp_path, alone
) -> None:
    """Ten overlapping classes; hard triplets from scratch against both stages."""
    features = feature_file(train=400, val=80, test=80, classes=10)
    common = ["batch_size=64", "model.hidden=[64]", "stage1.patience=99"]
    best = {}
    for name, settings in (("hard", COLLAPSING), ("curriculum", CURRICULUM)):
        words = ["train", "--cpu", "--features", features, "--run", "a", "--runs", tmp_path / name]
        done = CliRunner().invoke(app, [str(word) for word in (*words, *common, *settings)])
        narration = done.stderr
        assert done.exit_code == 0, narration
        assert done.stdout == f"{tmp_path / name / 'a'}\n"
        history = RunFolder(tmp_path / name / "a").history()
        spreads = [record["distance_spread"] for record in history]
        assert narration.count("warning: the embedding space collapsed") == (name == "hard")
        assert (min(spreads) < COLLAPSED_BELOW) == (name == "hard")
        assert name == "hard" or min(spreads) > 5 * COLLAPSED_BELOW  # no false alarm is near
        best[name] = max(record["val_map"] for record in history)
    assert best["curriculum"] > best["hard"] + 0.1
