"""The commands as a user gives them, from videos to the report, and what they say to mistakes."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import AVCMR, invoke
from tests.patience import PATIENCE


def avcmr(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AVCMR, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small set of made-up clips."""
    folder = tmp_path_factory.mktemp("work")
    done = avcmr("demo-clips", "videos", "--per-class", 3, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "videos\n"
    return folder


EXTRACT = ("extract", "--videos", "videos", "--untrained-audio", "--out")


@pytest.fixture(scope="module")
def features(workplace: Path) -> Path:
    """Features of the whole set, extracted without interruption."""
    done = avcmr(*EXTRACT, "features.h5", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "plan: 30 clips: 0 done, 30 to do (30 new)" in done.stderr
    assert "30/30" in done.stderr or "clips done" in done.stderr
    assert "UNTRAINED" in done.stderr
    assert done.stdout == "features.h5\n"
    return workplace / "features.h5"


def test_train_evaluate_and_both_again(workplace, features, monkeypatch) -> None:
    train = ["train", "--features", "features.h5", "--workers", 2, "--run", "first"]
    settings = ["batch_size=16", "model.hidden=[64]", "stage1.max_epochs=30", "stage2.max_epochs=4"]
    done = avcmr(*train, *settings, cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs/first\n"
    assert "stage 1 ends after epoch 30, stage 1, loss" in done.stderr
    assert "stage 2 begins" in done.stderr
    assert "stage 2 ends after epoch 34, stage 2, loss" in done.stderr
    run = workplace / "runs" / "first"
    for name in ("config.yaml", "metrics.jsonl", "checkpoints/best.safetensors", "tensorboard"):
        assert (run / name).exists()
    monkeypatch.chdir(workplace)
    again = invoke(*train, *settings)
    assert (again.exit_code, again.stdout) == (0, "runs/first\n")
    assert "already trained" in again.stderr
    other = invoke(*train, *settings, "stage1.margin=0.5")
    assert other.exit_code == 2
    assert "stage1.margin: 0.2 → 0.5" in other.stderr

    shown = avcmr("evaluate", "runs/first", cwd=workplace)
    assert shown.returncode == 0, shown.stderr
    assert "audio → visual" in shown.stderr
    assert "chance" in shown.stderr
    page = workplace / shown.stdout.strip()
    assert page.read_text().startswith("<!doctype html>")
    assert "UNTRAINED" in page.read_text()
    measured = json.loads(invoke("evaluate", "runs/first", "--json").stdout)
    assert measured["average_map"] > measured["chance"]
    assert f"{measured['average_map']:.3f}" in shown.stderr


def problems(folder: Path) -> dict[str, tuple[list[object], str]]:
    """What users do wrong → the words that must be in the one line they get."""
    (folder / "empty").mkdir()
    (folder / "notes.h5").write_text("not HDF5")
    (folder / "typo.yaml").write_text("stage1: {margn: 0.3}\n")
    videos = folder / "clips" / "dog"
    videos.mkdir(parents=True)
    (videos / "a.mp4").write_bytes(b"x")
    extract = ["extract", "--untrained-audio"]
    train = ["train", "--features"]
    return {
        "no clips given": ([*extract], "give either --videos FOLDER or --manifest FILE.csv"),
        "missing folder": ([*extract, "--videos", "nowhere"], "nowhere: no such folder"),
        "empty folder": ([*extract, "--videos", "empty"], "no videos found"),
        "missing manifest": ([*extract, "--manifest", "no.csv"], "no such manifest file"),
        "no weights": (["extract", "--videos", "clips"], "--untrained-audio"),
        "weights folder": (
            [*extract, "--videos", "clips", "--weights", "nowhere"],
            "nowhere is not a folder",
        ),
        "foreign store": (
            [*extract, "--videos", "clips", "--out", "notes.h5"],
            "not an avcmr feature store",
        ),
        "unwritable": ([*extract, "--videos", "clips", "--out", "/proc/f.h5"], "/proc/f.h5"),
        "no such features": ([*train, "none.h5"], "none.h5"),
        "wrong features": ([*train, "notes.h5"], "notes.h5"),
        "unknown key": ([*train, "none.h5", "--config", "typo.yaml"], "did you mean stage1.margin"),
        "missing config": ([*train, "none.h5", "--config", "no.yaml"], "cannot read the config"),
        "not a run": (["evaluate", "empty"], "not a run folder"),
    }


def test_mistakes_get_one_line_with_the_remedy_and_exit_code_2(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AVCMR_WEIGHTS", "")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no download, wherever the tests run
    for name, (arguments, wanted) in problems(tmp_path).items():
        done = invoke(*arguments)
        message = f"{name}: exit {done.exit_code}, {done.stderr}"
        assert done.exit_code == 2, message
        assert wanted in done.stderr, message
        assert "Traceback" not in done.stderr, message
        assert Counter(line.startswith("error: ") for line in done.stderr.splitlines())[True] == 1
        assert done.stdout == ""
        if name in ("no weights", "not a run"):  # that all is told, and nothing else, to a shell
            alone = avcmr(*arguments, cwd=tmp_path)
            assert (alone.returncode, alone.stdout, alone.stderr) == (2, "", done.stderr)


def test_real_clips_are_stored_and_their_classes_can_be_told(assets, tmp_path) -> None:
    """5 s of 46 clips as found on YouTube; chance of the 1-nearest neighbour is about .08."""
    paths = sorted((assets / "clips").glob("*/*.m*"))
    rows = [f"{path},{path.parent.name},5\n" for path in paths]
    (tmp_path / "clips.csv").write_text("path,label,end\n" + "".join(rows))
    done = avcmr("extract", "--manifest", "clips.csv", "--untrained-audio", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with FeatureStore(tmp_path / "features.h5") as store:
        assert len(store) == 46
        assert store.failures == []
        named = store.labels != "other"
        means, labels = store.visual_means[named], store.labels[named]
    centred = means - means.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    similarity = centred @ centred.T
    np.fill_diagonal(similarity, -1)
    accuracy = np.mean(labels[similarity.argmax(axis=1)] == labels)
    assert accuracy > 0.5


HELP = """
import sys
from typer.testing import CliRunner
from avcmr.cli import app
print(CliRunner().invoke(app, ["--help"]).stdout)
print("loaded:", *{"ray", "torch", "av", "sklearn"} & {*sys.modules})
"""


def test_help_names_every_command_and_loads_nothing_large() -> None:
    shown = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert all(word in shown.stdout for word in ("extract", "train", "evaluate", "demo-clips"))
    assert shown.stdout.splitlines()[-1] == "loaded:"
