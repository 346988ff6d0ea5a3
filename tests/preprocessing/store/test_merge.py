"""Finishing: the store holds what the manifest lists, in its order, or is left as it was."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocessing.clips import Clip
from preprocessing.store import FeatureWriter


def test_manifest_gives_labels_splits_and_order(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    kit.extract(path, clips)
    changed = [replace(clip, label="cat", split="test") for clip in reversed(clips[4:])]
    plan = kit.extract(path, changed)
    assert plan.todo == ()
    kit.check_complete(path, [*changed, *clips[:4]])  # those not listed follow as they were


def test_nothing_to_do_writes_nothing(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    kit.extract(path, clips)
    before = path.read_bytes(), path.stat()
    kit.extract(path, clips)
    assert (path.read_bytes(), path.stat()) == before


def test_finish_without_work_leaves_another_store_alone(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    kit.extract(path, clips)
    before = path.read_bytes()
    with FeatureWriter(path, kit.other) as writer:
        writer.finish(clips)
    assert path.read_bytes() == before


def test_merge_reads_in_blocks(
    kit: SimpleNamespace, path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocessing.store.merge.BLOCK_BYTES", 4000)  # one or two clips
    kit.extract(path, clips, max_clips=100)
    kit.check_complete(path, clips)
    kit.extract(path, clips[::-1])
    kit.check_complete(path, clips[::-1])


def test_store_that_is_linked_to(
    kit: SimpleNamespace, path: Path, clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "features.h5"
    path.symlink_to(target)
    kit.extract(path, clips)
    assert path.is_symlink()
    kit.check_complete(target, clips)
