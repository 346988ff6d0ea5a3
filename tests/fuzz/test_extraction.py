"""Two hundred mutated files in one folder with good ones: each gets a true reason or features."""

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import EXTRACT, values
from tests.fuzz.mutations import write_mutated, write_originals
from tests.fuzz.truth import decoded, is_true
from tests.patience import PATIENCE

GROWTH = 256 << 20
"""Bytes by which what a process has at least may grow from one quarter of the run to the next."""


def memory(pids: list[int]) -> dict[int, int]:
    """Bytes of each process, without what it shares."""
    found = {}
    for pid in pids:
        try:
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
            found[pid] = (int(resident) - int(shared)) * 4096
        except OSError:
            continue  # it ended while we looked
    return found


def least(samples: list[dict[int, int]]) -> dict[int, int]:
    """What each process has at least: what a clip takes comes and goes."""
    pids = {pid for sample in samples for pid in sample}
    return {pid: min(sample[pid] for sample in samples if pid in sample) for pid in pids}


@pytest.fixture
def mutated(tmp_path: Path) -> Path:
    folder = tmp_path / "videos" / "mutated"
    folder.mkdir(parents=True)
    return folder


def test_mutated_files_among_good_ones(start, good_clips, undisturbed, mutated, tmp_path) -> None:
    videos = mutated.parent
    for folder in good_clips.iterdir():
        (videos / folder.name).symlink_to(folder)
    expected = dict(undisturbed)
    (videos / "copies").mkdir()
    for number, (clip_id, features) in enumerate([*undisturbed.items()][:8]):
        shutil.copy(good_clips / f"{clip_id}.mp4", videos / "copies" / f"{number}.mp4")
        expected[f"copies/{number}"] = features
    (tmp_path / "originals").mkdir()
    fates = write_mutated(mutated, write_originals(tmp_path / "originals"))
    allowed = {f"mutated/{name}": some for name, some in fates.items()}
    assert (len(expected), len(allowed)) == (20, 200)

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    options = ["--follow-links", "--clip-timeout", "120"]
    run = start([*EXTRACT, "out.h5", "--videos", videos, *options], TMPDIR=str(temporary))
    samples: list[dict[int, int]] = []
    deadline = time.monotonic() + PATIENCE
    while run.process.poll() is None:
        assert time.monotonic() < deadline, run.narration
        if "extract " in run.narration:
            samples.append(memory(list(run.processes())))
        time.sleep(0.5)
    run.ends(1)  # no process, no shared memory is left
    assert not [path for path in temporary.rglob("*") if not path.is_dir()]  # torch makes a folder
    assert {path.name for path in tmp_path.glob("out.h5*")} == {"out.h5"}

    with FeatureStore(tmp_path / "out.h5") as store:
        found = values(store)
        failures = {failure.clip.id: failure for failure in store.failures}
    assert found.keys() | failures.keys() == expected.keys() | allowed.keys()
    assert expected.keys() <= found.keys()
    assert not found.keys() & failures.keys()
    for features in found.values():
        assert all(np.isfinite(rows).all() for rows in features)
    for clip_id, features in expected.items():
        for one, other in zip(found[clip_id], features, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)

    false = {}
    for path in sorted(mutated.iterdir()):
        clip_id = f"mutated/{path.stem}"
        failure = failures.get(clip_id)
        reason = failure.reason if failure else "stored"
        truth = decoded(path)
        if reason not in allowed[clip_id] or not is_true(reason, truth):
            false[clip_id] = (reason, failure and failure.message, truth)
    assert not false
    for failure in failures.values():
        assert failure.message.startswith(f"{failure.clip.path}: ")
        assert "\n" not in failure.message
        assert not re.search(r"\b[A-Z]\w+Error\b", failure.message)  # said in our own words

    quarter = len(samples) // 4
    before, after = least(samples[2 * quarter : 3 * quarter]), least(samples[3 * quarter :])
    grown = {pid: after[pid] - before[pid] for pid in before.keys() & after.keys()}
    assert run.process.pid in grown
    assert max(grown.values()) < GROWTH, grown
