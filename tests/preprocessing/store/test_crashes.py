"""Errors, Ctrl-C and SIGKILL at every step: the next run always completes the store."""

import errno
import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocessing.clips import Clip
from preprocessing.errors import SetupError
from preprocessing.store import FeatureStore, FeatureWriter
from preprocessing.store.memory_file import MemoryFile

StartWriter = Callable[[str], "subprocess.Popen[str]"]

OPERATIONS = ("pwrite", "ftruncate", "fsync", "replace", "unlink")
"""Everything by which the store changes the disk, in ``os``."""


class CrashError(Exception):
    """Stands for any error that nobody expects."""


def crash() -> None:
    raise CrashError


def test_crash_at_each_step(
    kit: SimpleNamespace, path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.extract(path, clips[:4])
    store = path.read_bytes()
    crashes = 0
    while True:
        path.write_bytes(store)
        steps = kit.Steps(crash, at=crashes + 1)
        with monkeypatch.context() as patch:
            for name in OPERATIONS:
                patch.setattr(os, name, steps.before(getattr(os, name)))
            try:
                kit.extract(path, clips)
            except CrashError:
                crashes += 1
        kit.extract(path, clips)
        kit.check_complete(path, clips)
        if steps.left > 0:  # the run ended before the step came
            break
    assert crashes > 30  # two parts and a merge


@pytest.mark.parametrize("step", [1, 7, 60, 150, 250])
def test_interrupt_while_hdf5_writes(
    kit: SimpleNamespace, path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It has to wait: HDF5 goes astray if an exception reaches it from the file it writes."""
    steps = kit.Steps(lambda: signal.raise_signal(signal.SIGINT), at=step)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFile, "write", steps.before(MemoryFile.write))
        with pytest.raises(KeyboardInterrupt):
            kit.extract(path, clips)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kit.extract(path, clips)
    kit.check_complete(path, clips)


def test_killed_while_it_writes_parts(
    kit: SimpleNamespace, path: Path, tmp_path: Path, start_writer: StartWriter
) -> None:
    clips = kit.make_clips(tmp_path / "raw", 24)
    draw = random.Random(0)
    for _ in range(4):
        assert start_writer(f"{draw.randrange(1, 25)}").wait(60) == -signal.SIGKILL
    with pytest.raises(SetupError, match=r"is unfinished: .* run the same extract command again"):
        FeatureStore(path)
    assert 0 < kit.extract(path, clips).done < 24
    kit.check_complete(path, clips)


@pytest.mark.parametrize("write", [1, 5, 20])
def test_killed_while_it_merges(
    kit: SimpleNamespace, path: Path, tmp_path: Path, start_writer: StartWriter, write: int
) -> None:
    clips = kit.make_clips(tmp_path / "raw", 24)
    kit.extract(path, clips, finish=False)
    assert start_writer(f"{write}").wait(60) == -signal.SIGKILL
    assert not path.exists()
    assert kit.extract(path, clips).todo == ()
    kit.check_complete(path, clips)


def test_clips_that_cannot_be_rescued_are_counted(
    kit: SimpleNamespace,
    path: Path,
    clips: list[Clip],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CrashError), FeatureWriter(path, kit.provenance) as writer:
        writer.add(clips[0], kit.features_of(clips[0]))
        monkeypatch.setattr(os, "fsync", full)
        raise CrashError
    assert "1 finished clips could not be saved: no room left" in caplog.text
