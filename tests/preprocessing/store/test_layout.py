"""What goes into a store comes out again, and lies in the file as documented."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.damage import UNDAMAGED, Damage
from preprocessing.store import FeatureStore, FeatureWriter, Provenance
from preprocessing.store.combine import merge_stores


def test_round_trip(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    clips[3] = replace(clips[3], start=1.5, end=4.0, split="")
    clips[4] = replace(clips[4], start=2.0)
    plan = kit.extract(path, clips)
    assert plan.summary() == "10 clips: 0 done, 10 to do (10 new)"
    kit.check_complete(path, clips)
    with FeatureStore(path) as store:
        assert len(store) == 10
        assert store.ids.tolist() == [clip.id for clip in clips]
        assert store.labels.tolist() == [clip.label for clip in clips]
        assert store.splits.tolist() == [clip.split for clip in clips]
        assert store.provenance == kit.provenance
        assert store.failures == []
        assert (store.visual_means.dtype, store.visual_means.shape) == (np.float32, (10, 16))
        assert repr(store).endswith("clips=10, visual=(T, 16), audio=(S, 128))")
        with pytest.raises(IndexError, match="clip 10 of a store with 10"):
            store.clip(10)


def test_layout_is_as_documented(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    kit.extract(path, clips)
    lengths = [len(kit.features_of(clip).visual) for clip in clips]
    with h5py.File(path) as h5:
        assert (h5.attrs["format"], h5.attrs["version"]) == ("avcmr-features", 1)
        assert h5.attrs["config"] == '{"fps": 1.0, "size": [299, 299]}'
        np.testing.assert_array_equal(h5["visual/offsets"], np.cumsum([0, *lengths]))
        assert h5["visual/values"].shape == (sum(lengths), 16)
        assert h5["visual/times"].shape == (sum(lengths),)
        assert h5["clips/source_mtime"][2] == clips[2].path.stat().st_mtime_ns
        assert h5["clips/codec"].asstr()[0] == "h264"


def test_file_name_that_is_not_utf8(kit: SimpleNamespace, path: Path, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        file.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    clips = [Clip(file.stem, file, "café")]
    kit.extract(path, clips)
    kit.check_complete(path, clips)


def test_failures_are_kept_beside_the_clips(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    with FeatureWriter(path, kit.provenance) as writer:
        writer.fail(clips[0], ClipError("corrupt", "odd\0bytes"), attempts=2)
        for clip in clips[1:]:
            writer.add(clip, kit.features_of(clip))
        writer.finish(clips)
    with FeatureStore(path) as store:
        (failure,) = store.failures
    assert failure.clip == clips[0]
    assert (failure.reason, failure.message, failure.attempts) == ("corrupt", "odd\ufffdbytes", 2)
    assert failure.source.size == clips[0].path.stat().st_size
    kit.check_complete(path, clips[1:])


def test_the_later_record_of_a_clip_counts(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    with FeatureWriter(path, kit.provenance, max_clips=1) as writer:
        writer.add(clips[0], kit.features_of(clips[0]))
        writer.fail(clips[0], kit.no_sound, attempts=1)
        writer.fail(clips[1], kit.no_sound, attempts=1)
        writer.add(clips[1], kit.features_of(clips[1]))
        writer.finish(clips)
    kit.check_complete(path, clips[1:2])
    with FeatureStore(path) as store:
        assert [failure.clip for failure in store.failures] == clips[:1]


def test_rows_of_another_width_are_refused(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    narrow = replace(
        kit.features_of(clips[0]), audio=np.ones((1, 64), np.float32), audio_times=np.ones(1)
    )
    with FeatureWriter(path, kit.provenance) as writer:
        writer.add(clips[1], kit.features_of(clips[1]))
        with pytest.raises(ValueError, match=r"dog/000: rows of width \(16, 64\), not \(16, 128\)"):
            writer.add(clips[0], narrow)
    with FeatureWriter(path, kit.provenance) as writer:
        writer.add(clips[0], narrow)
        with pytest.raises(ValueError, match="/audio rows of one store must have one width"):
            writer.finish(clips)


@pytest.mark.parametrize("config", [{"x": float("nan")}, {"x": object()}], ids=["nan", "object"])
def test_config_must_be_json(config: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Provenance(config, {}, "fake")


def test_damage_is_kept_with_the_clip_and_old_stores_have_none(kit, clips, path) -> None:
    damages = [Damage(0.1, 0.05), Damage(notes=("clocks joined", "one channel")), *[UNDAMAGED] * 8]
    with FeatureWriter(path, kit.provenance, max_clips=3) as writer:
        for clip, damage in zip(clips, damages, strict=True):
            writer.add(clip, replace(kit.features_of(clip), damage=damage))
        writer.finish(clips)
    kit.check_complete(path, clips)
    with FeatureStore(path) as store:
        assert [record.damage for record in store.records] == damages
        assert store.clip(1).damage == damages[1]
    merge_stores([path], path.with_name("merged.h5"))
    with FeatureStore(path.with_name("merged.h5")) as store:
        assert [record.damage for record in store.records] == damages
    with h5py.File(path, "a") as file:
        for name in ("damage_frames", "damage_sound", "damage_notes"):
            del file["clips"][name]
    with FeatureStore(path) as store:
        assert {record.damage for record in store.records} == {UNDAMAGED}
    assert not kit.extract(path, clips).todo


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stream", ["visual", "audio"])
def test_features_that_are_no_numbers_are_refused(kit, clips, path, stream, value) -> None:
    features = kit.features_of(clips[0])
    rows = getattr(features, stream)
    rows[-1, 3] = value
    with FeatureWriter(path, kit.provenance) as writer:
        with pytest.raises(ClipError, match=f"1 of {len(rows)} {stream} rows with NaN") as error:
            writer.add(clips[0], features)
        assert error.value.reason == "network_failed"
        writer.add(clips[1], kit.features_of(clips[1]))
        writer.finish(clips)
    kit.check_complete(path, clips[1:2])


def test_events_come_from_the_manifest_and_old_stores_have_none(kit, clips, path) -> None:
    """A manifest with events renews those of a finished store; nothing is extracted again."""
    kit.extract(path, clips)
    with h5py.File(path, "a") as file:
        for name in ("event_start", "event_end"):  # as stores were before there were events
            del file["clips"][name], file["failures"][name]
    kit.check_complete(path, clips)
    with FeatureStore(path) as store:
        assert np.isnan(store.events).all()
    with_events = [replace(clip, event_start=1.0, event_end=2.5) for clip in clips]
    assert not kit.extract(path, with_events).todo
    kit.check_complete(path, with_events)
    with FeatureStore(path) as store:
        assert (store.events == [1.0, 2.5]).all()
