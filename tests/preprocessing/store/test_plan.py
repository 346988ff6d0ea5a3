"""Which clips a second run does again, and the reasons it gives."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.store import FeatureStore, FeatureWriter


def test_changed_clips_are_done_again(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    kit.extract(path, clips)
    os.utime(clips[2].path, ns=(0, 1))
    clips[5].path.write_bytes(b"longer than it was before")
    clips[7] = replace(clips[7], end=2.5)
    plan = kit.extract(path, clips)
    assert plan.todo == (clips[2], clips[5], clips[7])
    assert plan.summary() == (
        "10 clips: 7 done, 3 to do (2 changed on disk, 1 with another start or end)"
    )
    kit.check_complete(path, clips)


def test_other_provenance_makes_everything_stale(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    kit.extract(path, clips[:6])
    with FeatureWriter(path, kit.other) as writer:
        for clip in clips[6:8]:
            writer.add(clip, kit.features_of(clip))
    plan = kit.extract(path, clips, kit.other)
    assert plan.summary() == (
        "10 clips: 2 done, 8 to do (2 new, 6 made with another config, weights or decoder)"
    )
    kit.check_complete(path, clips)
    with FeatureStore(path) as store:
        assert store.provenance == kit.other


def test_parts_of_another_provenance_do_not_count(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    kit.extract(path, clips[:6])
    kit.extract(path, clips, kit.other, finish=False)
    assert kit.extract(path, clips).done == 6
    kit.check_complete(path, clips)


def test_failed_clips_wait_for_a_reason(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    with FeatureWriter(path, kit.provenance) as writer:
        for clip in clips[:3]:
            writer.fail(clip, kit.no_sound, attempts=1)
        writer.finish(clips)
        plan = writer.plan(clips[:3])
        assert plan.summary() == "3 clips: 0 done, 0 to do, 3 failed before"
        assert [failure.clip for failure in plan.failed_before] == clips[:3]
        os.utime(clips[1].path, ns=(0, 1))
        assert writer.plan(clips[:3]).todo == (clips[1],)
        retrying = writer.plan(clips[:3], retry_failed=True)
        assert retrying.summary() == "3 clips: 0 done, 3 to do (1 changed on disk, 2 failed before)"
    with FeatureWriter(path, kit.other) as writer:
        assert writer.plan(clips[:3]).todo == tuple(clips[:3])
    kit.extract(path, clips[:3], retry_failed=True)
    kit.check_complete(path, clips[:3])


def test_missing_file_is_tried_again_once_it_is_there(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    clips[0].path.unlink()
    with FeatureWriter(path, kit.provenance) as writer:
        writer.plan(clips[:1])
        clips[0].path.write_bytes(b"copied while the run was on")
        writer.fail(clips[0], ClipError("missing", "no such file"), attempts=1)
        assert writer.plan(clips[:1]).todo == tuple(clips[:1])


def test_features_outlive_their_file(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    kit.extract(path, clips)
    clips[0].path.unlink()
    plan = kit.extract(path, clips)
    assert plan.summary() == "10 clips: 10 done (1 without their file now), 0 to do"


def test_features_that_cannot_be_made_anew_are_not_replaced(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    kit.extract(path, clips)
    before = path.read_bytes()
    with pytest.raises(SetupError, match=r"features of 7 clips, .* not listed now"):
        kit.extract(path, clips[:3], kit.other)
    clips[9].path.unlink()
    with pytest.raises(SetupError, match=r"features of 1 clips, .* files are gone"):
        kit.extract(path, clips, kit.other)
    assert path.read_bytes() == before


def test_two_clips_of_one_id_are_refused(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    with (
        FeatureWriter(path, kit.provenance) as writer,
        pytest.raises(SetupError, match="the id 'dog/000'"),
    ):
        writer.plan([clips[0], clips[0]])


def test_plan_of_many_clips(kit: SimpleNamespace, path: Path, tmp_path: Path) -> None:
    clips = [Clip(f"c/{number}", tmp_path / "none.mp4", "c") for number in range(20_000)]
    with FeatureWriter(path, kit.provenance, max_clips=10_000) as writer:
        for clip in clips:
            writer.fail(clip, ClipError("missing", "no such file"), attempts=1)
        plan = writer.plan(clips)
    assert plan.summary() == "20,000 clips: 0 done, 0 to do, 20,000 failed before"


def test_a_file_that_went_missing_is_done_once_it_is_back(
    kit: SimpleNamespace, path: Path, clips: list[Clip], tmp_path: Path
) -> None:
    with FeatureWriter(path, kit.provenance) as writer:
        writer.plan(clips[:1])
        clips[0].path.rename(tmp_path / "elsewhere")
        writer.fail(clips[0], ClipError("missing", "gone"), attempts=1)
        writer.finish(clips[:1])
        assert writer.plan(clips[:1]).todo == ()
        (tmp_path / "elsewhere").rename(clips[0].path)  # with size and time stamp as before
        assert writer.plan(clips[:1]).todo == (clips[0],)
