"""The commands as a user gives them, from videos to the report, with interruptions."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from preprocessing.store import FeatureStore

AVCMR = Path(sys.executable).with_name("avcmr")


def avcmr(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AVCMR, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
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


def stored(path: Path) -> dict[str, np.ndarray]:
    with FeatureStore(path) as store:
        assert len(set(store.ids)) == len(store.ids)
        return {str(clip_id): store.clip(row).visual for row, clip_id in enumerate(store.ids)}


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


@pytest.mark.slow
def test_an_interrupted_extraction_goes_on(workplace, features) -> None:
    """Ctrl-C: nothing that was finished is done again, nothing is lost or doubled."""
    out = workplace / "interrupted.h5"
    parts = out.with_name(f"{out.name}.parts")
    process = subprocess.Popen(
        [AVCMR, *EXTRACT, out.name], cwd=workplace, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        done = int(line.split()[1].split("/")[0]) if line.startswith("extract ") else 0
        if done >= 8:
            break
    process.send_signal(signal.SIGINT)
    narration = process.stderr.read()
    assert process.wait(timeout=60) == 130, narration
    assert not out.exists()
    assert "interrupted; the same command goes on" in narration

    again = avcmr(*EXTRACT, out.name, cwd=workplace)
    assert again.returncode == 0, again.stderr
    planned = next(line for line in again.stderr.splitlines() if line.startswith("plan:"))
    done_before = int(planned.split(": ")[2].split()[0])
    assert done <= done_before < 30
    assert f"clips done   │ {30 - done_before} " in again.stderr
    assert not parts.exists()
    expected, found = stored(features), stored(out)
    assert found.keys() == expected.keys()
    for clip_id in expected:
        np.testing.assert_array_equal(found[clip_id], expected[clip_id])


@pytest.mark.slow
def test_other_settings_make_features_anew(workplace, features) -> None:
    """The plan says so first; and what cannot be made anew is not given up for it."""
    for way in ("--fps 2", "--no-vggish-relu", "--precision bfloat16", "--decoder decord"):
        look = avcmr(*EXTRACT, "features.h5", "--dry-run", *way.split(), cwd=workplace)
        assert look.returncode == 0, look.stderr
        plan = "30 clips: 0 done, 30 to do (30 made with another config, weights or decoder)"
        assert plan in look.stderr, way
    out = workplace / "settings.h5"
    shutil.copy(features, out)
    drums = ("--manifest", workplace / "drums.csv")
    rows = [f"{path},drum\n" for path in sorted((workplace / "videos" / "drum").iterdir())]
    drums[1].write_text("path,label\n" + "".join(rows))
    settings = ("--frames", "key", "--fps", 2, "--precision", "bfloat16", "--untrained-audio")
    refused = avcmr("extract", *drums, *settings, "--out", out, cwd=workplace)
    assert refused.returncode == 2
    assert "holds features of 30 clips" in refused.stderr
    out.unlink()
    done = avcmr("extract", *drums, *settings, "--out", out, cwd=workplace)
    assert done.returncode == 0, done.stderr
    expected = stored(features)
    for clip_id, visual in stored(out).items():
        once = expected[f"drum/{Path(clip_id).name}"]
        assert abs(len(visual) - 2 * len(once)) <= 1
        similarity = np.corrcoef(visual.mean(axis=0), once.mean(axis=0))[0, 1]
        assert 0.8 < similarity < 0.999999


@pytest.mark.slow
def test_the_second_run_has_nothing_to_do_and_a_changed_clip_is_redone(workplace, features) -> None:
    before = features.read_bytes()
    again = avcmr(*EXTRACT, "features.h5", cwd=workplace)
    assert again.returncode == 0
    assert "30 clips: 30 done, 0 to do" in again.stderr
    assert features.read_bytes() == before

    copy = workplace / "copy.h5"
    shutil.copy(features, copy)
    clip = next((workplace / "videos" / "drum").iterdir())
    os.utime(clip)
    broken = workplace / "videos" / "drum" / "broken.mp4"
    broken.write_bytes(b"not a video")
    try:
        look = avcmr(*EXTRACT, "copy.h5", "--dry-run", cwd=workplace)
        stopped = avcmr(*EXTRACT, "copy.h5", "--fail-fast", cwd=workplace)
        once, twice = (avcmr(*EXTRACT, "copy.h5", cwd=workplace) for _ in range(2))
        retry = avcmr(*EXTRACT, "copy.h5", "--retry-failed", "--dry-run", cwd=workplace)
    finally:
        broken.unlink()
    assert "31 clips: 29 done, 2 to do (1 new, 1 changed on disk)" in look.stderr
    assert (look.returncode, look.stdout) == (0, "")
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert "drum/broken: not_media" in stopped.stderr
    assert "clips failed │" not in stopped.stderr
    assert "1 failed before" in once.stderr
    assert "31 clips: 30 done, 0 to do, 1 failed before" in twice.stderr
    assert "31 clips: 30 done, 1 to do (1 failed before)" in retry.stderr
    for run in (once, twice):
        assert run.returncode == 1
        assert "drum/broken: not_media:" in run.stderr


@pytest.mark.slow
def test_train_evaluate_and_both_again(workplace, features) -> None:
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
    again = avcmr(*train, *settings, cwd=workplace)
    assert (again.returncode, again.stdout) == (0, "runs/first\n")
    assert "already trained" in again.stderr
    other = avcmr(*train, *settings, "stage1.margin=0.5", cwd=workplace)
    assert other.returncode == 2
    assert "stage1.margin: 0.2 → 0.5" in other.stderr

    shown = avcmr("evaluate", "runs/first", cwd=workplace)
    assert shown.returncode == 0, shown.stderr
    assert "audio → visual" in shown.stderr
    assert "chance" in shown.stderr
    page = workplace / shown.stdout.strip()
    assert page.read_text().startswith("<!doctype html>")
    assert "UNTRAINED" in page.read_text()
    measured = json.loads(avcmr("evaluate", "runs/first", "--json", cwd=workplace).stdout)
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


def test_mistakes_get_one_line_with_the_remedy_and_exit_code_2(tmp_path) -> None:
    for name, (arguments, wanted) in problems(tmp_path).items():
        done = avcmr(
            *arguments,
            cwd=tmp_path,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            AVCMR_WEIGHTS="",
            https_proxy="http://127.0.0.1:9",  # no download, wherever the tests run
        )
        message = f"{name}: exit {done.returncode}, {done.stderr}"
        assert done.returncode == 2, message
        assert wanted in done.stderr, message
        assert "Traceback" not in done.stderr, message
        assert Counter(line.startswith("error: ") for line in done.stderr.splitlines())[True] == 1
        assert done.stdout == ""


@pytest.mark.slow
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


def test_help_is_quick_and_names_every_command() -> None:
    started = time.monotonic()
    shown = avcmr("--help", cwd=Path.cwd()).stdout
    assert all(command in shown for command in ("extract", "train", "evaluate", "demo-clips"))
    assert time.monotonic() - started < 10
