"""Finished clips wait in parts until the store is written, and the next run picks them up."""

import errno
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import SetupError
from preprocessing.store import FeatureWriter


@pytest.mark.parametrize(
    "limit", [{"max_clips": 2}, {"max_bytes": 1}, {"max_seconds": 0.0}], ids=str
)
def test_clips_are_saved_as_they_come(
    kit: SimpleNamespace, path: Path, clips: list[Clip], limit: dict[str, float]
) -> None:
    with FeatureWriter(path, kit.provenance, **limit) as writer:  # type: ignore[arg-type]
        for clip in clips[:4]:
            writer.add(clip, kit.features_of(clip))
        assert len(kit.parts_of(path)) == 4 // int(limit.get("max_clips", 1))


def test_what_has_waited_long_is_saved_though_nothing_more_comes(
    kit: SimpleNamespace, path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FeatureWriter(path, kit.provenance, max_seconds=10) as writer:
        writer.add(clips[0], kit.features_of(clips[0]))
        writer.flush_if_due()
        assert not kit.parts_of(path)
        later = time.monotonic() + 10
        monkeypatch.setattr("preprocessing.store.writer.time.monotonic", lambda: later)
        writer.flush_if_due()
        assert len(kit.parts_of(path)) == 1


def test_interrupted_run_is_resumed(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    kit.extract(path, clips[:4])
    with (
        pytest.raises(KeyboardInterrupt),
        FeatureWriter(path, kit.provenance, max_clips=3) as writer,
    ):
        for clip in clips[4:8]:
            writer.add(clip, kit.features_of(clip))
        raise KeyboardInterrupt
    plan = kit.extract(path, clips)
    assert plan.summary() == "10 clips: 8 done, 2 to do (2 new)"
    assert plan.todo == tuple(clips[8:])
    kit.check_complete(path, clips)


def test_broken_part_is_set_aside(
    kit: SimpleNamespace, path: Path, clips: list[Clip], caplog: pytest.LogCaptureFixture
) -> None:
    kit.extract(path, clips[:6], finish=False)
    part = kit.parts_of(path)[0]
    part.write_bytes(part.read_bytes()[:-100])
    plan = kit.extract(path, clips[:6])
    assert plan.todo == tuple(clips[:3])
    assert "set aside, its clips will be done again" in caplog.text
    kit.check_complete(path, clips[:6])


def test_store_that_must_not_be_read(
    kit: SimpleNamespace, path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    kit.extract(path, clips, finish=False)
    with monkeypatch.context() as patch:
        patch.setattr(h5py, "File", refuse)
        with pytest.raises(SetupError, match=r"cannot read .*part-000001.h5: Permission denied"):
            kit.extract(path, clips)
    assert kit.extract(path, clips).todo == ()  # nothing was set aside
