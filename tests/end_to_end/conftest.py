"""Runs of ``avcmr extract`` to be disturbed, and what must be true after any of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from avcmr.cli import app
from preprocessing.media.encode import write_clip
from preprocessing.store import FeatureStore
from tests.patience import PATIENCE, eventually

AVCMR = Path(sys.executable).with_name("avcmr")
HOSTILE_AVCMR = Path(__file__).with_name("hostile_avcmr.py")
OPTIONS = ("--untrained-audio", "--out")
EXTRACT = [AVCMR, "extract", *OPTIONS]
HOSTILE_EXTRACT = [sys.executable, HOSTILE_AVCMR, "extract", *OPTIONS]

HELD = "b/7"
"""The clip at which a run of ``hostile_extract`` can be made to wait."""

Values = tuple[np.ndarray, ...]


def abandoned() -> set[str]:
    """What Ray's object stores and torch have in shared memory, and no process uses any more."""
    names = (path.name for path in Path("/dev/shm").iterdir())
    found = {name for name in names if name.startswith(("plasma", "ray", "torch"))}
    return found and found - {path.name for path in in_use()}


def in_use() -> Iterator[Path]:
    """Files that any process has open or in its memory."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            yield from map(Path, (process / "maps").read_text().splitlines())
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):  # it was closed
                    yield descriptor.readlink()


@dataclass
class Run:
    """A command in a session of its own, by which all its processes are known."""

    process: "subprocess.Popen[bytes]"
    stdout: Path
    stderr: Path
    abandoned_before: set[str] = field(default_factory=abandoned)

    @property
    def narration(self) -> str:
        return self.stderr.read_text()

    def processes(self) -> dict[int, str]:
        """Process id → title of everything that belongs to the run and has not ended."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(entry.name)] = title
            except OSError:
                continue  # it ended while we looked
        return found

    def kill(self, title: str) -> None:
        """SIGKILL for each of the run's processes with such a title."""
        victims = [pid for pid, name in self.processes().items() if title in name]
        assert victims, f"no {title} among {self.processes()}"
        for victim in victims:
            os.kill(victim, signal.SIGKILL)

    def says(self, text: str) -> None:
        """Wait until it has said this."""
        eventually(lambda: text in self.narration or self.process.poll() is not None, text)
        assert text in self.narration, self.narration

    def ends(self, exit_code: int) -> str:
        """Wait for its end, and make sure that it has left nothing behind; what it has said."""
        found = self.process.wait(timeout=PATIENCE)
        narration = self.narration
        assert found == exit_code, narration
        assert "Traceback" not in narration
        errors = [line for line in narration.splitlines() if line.startswith("error: ")]
        assert len(errors) == (exit_code == 2), narration
        eventually(lambda: not self.processes(), f"end of {self.processes()}")
        eventually(lambda: abandoned() <= self.abandoned_before, "shared memory is free")
        return narration


def invoke(*words: object) -> Result:
    """What a command says and does, in this process: for commands that start no other."""
    return CliRunner().invoke(app, [str(word) for word in words])


def write_good_clips(root: Path, count: int) -> None:
    """Clips of 2 to 4 seconds, ``a/0``, ``b/1`` and so on."""
    for number in range(count):
        rng, seconds = np.random.default_rng(number), 2 + number % 3
        picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        frames = [np.roll(picture, shift, axis=1) for shift in range(10 * seconds)]
        sound = rng.normal(0, 0.1, (1, 16_000 * seconds)).astype(np.float32)
        path = root / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, frames, 10, sound, 16_000)


def values(store: FeatureStore) -> dict[str, Values]:
    """All that was measured of each clip."""
    stored = {str(clip_id): store.clip(row) for row, clip_id in enumerate(store.ids)}
    assert len(stored) == len(store)  # no clip twice
    return {
        clip_id: (clip.visual, clip.visual_times, clip.audio, clip.audio_times)
        for clip_id, clip in stored.items()
    }


def check(
    out: Path, undisturbed: Mapping[str, Values], failed: Mapping[str, str] | None = None
) -> None:
    """Each clip is there once and as if nothing had happened, or has failed for this reason."""
    failed = failed or {}
    assert not out.with_name(f"{out.name}.parts").exists()
    with FeatureStore(out) as store:
        found = values(store)
        assert {failure.clip.id: failure.reason for failure in store.failures} == failed
    assert found.keys() == undisturbed.keys() - failed.keys()
    for clip_id, expected in undisturbed.items():
        for one, other in zip(found.get(clip_id, ()), expected, strict=clip_id in found):
            np.testing.assert_array_equal(one, other, strict=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a command, in the test's folder; whatever is left of it at the end is killed."""
    runs: list[Run] = []

    def start(command: Sequence[object], **environment: str) -> Run:
        stdout, stderr = (tmp_path / f"{name}-{len(runs)}" for name in ("stdout", "stderr"))
        with stdout.open("wb") as results, stderr.open("wb") as narration:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=tmp_path,
                env=os.environ | environment,
                stdout=results,
                stderr=narration,
                start_new_session=True,
            )
        runs.append(Run(process, stdout, stderr))
        return runs[-1]

    yield start
    for run in runs:
        for pid in run.processes():
            os.kill(pid, signal.SIGKILL)
        run.process.wait()


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While this file is there, a run of ``hostile_extract`` waits at the clip :data:`HELD`."""
    file = tmp_path / "hold"
    file.touch()
    return file


def start_held(
    start: Callable[..., Run], good_clips: Path, hold: Path, *options: str
) -> tuple[Run, int]:
    """A run that has come to the held clip; and the process that decodes it."""
    command = [*HOSTILE_EXTRACT, "out.h5", "--videos", good_clips, *options]
    pid = hold.with_suffix(".pid")
    pid.unlink(missing_ok=True)
    run = start(command, HOSTILE_HOLD=f"{HELD} {hold}")
    eventually(lambda: pid.exists() or run.process.poll() is not None, "held clip")
    assert pid.exists(), run.narration
    return run, int(pid.read_text())


@pytest.fixture(scope="session")
def good_clips(once) -> Path:
    return once("good", partial(write_good_clips, count=12))


@pytest.fixture(scope="session")
def undisturbed_store(once, good_clips: Path) -> Path:
    """What a run that nothing disturbs makes of the good clips."""

    def extract(folder: Path) -> None:
        command = [*EXTRACT, folder / "undisturbed.h5", "--videos", good_clips]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr

    return once("undisturbed", extract) / "undisturbed.h5"


@pytest.fixture(scope="session")
def undisturbed(undisturbed_store: Path) -> dict[str, Values]:
    """All that is in it."""
    with FeatureStore(undisturbed_store) as store:
        assert len(store) == 12
        return values(store)
