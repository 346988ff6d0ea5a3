"""Stores made from stores, and what validation finds in damaged ones."""

import os

import h5py
import numpy as np
import pytest

from preprocessing.errors import SetupError, UsageError
from preprocessing.store import FeatureStore, FeatureWriter, merge_stores, subset_store
from preprocessing.store.validate import validate_store


def test_merge_keeps_every_clip_once(kit, clips, tmp_path) -> None:
    one, two, out = (tmp_path / name for name in ("one.h5", "two.h5", "out.h5"))
    kit.extract(one, clips[:6])
    kit.extract(two, clips[4:])  # two clips are in both, with the same features
    merge_stores([one, two], out)
    kit.check_complete(out, clips)


def test_a_clip_done_anywhere_is_no_failure(kit, clips, tmp_path) -> None:
    one, two, out = (tmp_path / name for name in ("one.h5", "two.h5", "out.h5"))
    with FeatureWriter(one, kit.provenance) as writer:
        writer.add(clips[0], kit.features_of(clips[0]))
        for clip in clips[1:3]:
            writer.fail(clip, kit.no_sound, attempts=1)
        writer.finish(clips[:3])
    kit.extract(two, clips[1:2])
    merge_stores([one, two], out)
    with FeatureStore(out) as store:
        assert store.ids.tolist() == [clip.id for clip in clips[:2]]
        assert [failure.clip.id for failure in store.failures] == [clips[2].id]


@pytest.mark.parametrize("prefer", ["first", "last", None])
def test_clips_that_differ_need_a_choice(kit, clips, tmp_path, prefer) -> None:
    stores = [tmp_path / "one.h5", tmp_path / "two.h5"]
    values = []
    for number, path in enumerate(stores):
        features = kit.features_of(clips[0])
        features.visual[:] = number
        values.append(features.visual)
        with FeatureWriter(path, kit.provenance) as writer:
            writer.add(clips[0], features)
            writer.finish(clips[:1])
    out = tmp_path / "out.h5"
    if prefer is None:
        with pytest.raises(UsageError, match="--prefer first or --prefer last"):
            merge_stores(stores, out)
        assert not out.exists()
        return
    merge_stores(stores, out, prefer=prefer)
    with FeatureStore(out) as store:
        expected = values[0 if prefer == "first" else 1]
        np.testing.assert_array_equal(store.clip(0).visual, expected)


def test_features_made_differently_are_not_merged(kit, clips, tmp_path) -> None:
    kit.extract(tmp_path / "one.h5", clips[:2])
    kit.extract(tmp_path / "two.h5", clips[2:], kit.other)
    with pytest.raises(SetupError, match=r"two.h5.*made differently .*fps.*extract"):
        merge_stores([tmp_path / "one.h5", tmp_path / "two.h5"], tmp_path / "out.h5")


def test_subset(kit, clips, path, tmp_path) -> None:
    kit.extract(path, clips)
    chosen = [clip for clip in clips if clip.label == "dog"]
    assert subset_store(path, tmp_path / "dogs.h5", lambda r: r.clip.label == "dog") == len(chosen)
    kit.check_complete(tmp_path / "dogs.h5", chosen)
    with pytest.raises(UsageError, match="none of its clips"):
        subset_store(path, tmp_path / "none.h5", lambda record: False)
    with pytest.raises(SetupError, match=r"dogs.h5: exists already"):
        subset_store(path, tmp_path / "dogs.h5", lambda record: True)
    kit.check_complete(tmp_path / "dogs.h5", chosen)


def nan(file: h5py.File) -> None:
    file["visual/values"][0, 3] = np.nan


def zero_row(file: h5py.File) -> None:
    file["audio/values"][0] = 0


def duplicate(file: h5py.File) -> None:
    file["clips/id"][1] = file["clips/id"][0]


def backward_offsets(file: h5py.File) -> None:
    file["visual/offsets"][3] = file["visual/offsets"][2]


def short_offsets(file: h5py.File) -> None:
    offsets = file["audio/offsets"][:-1]
    del file["audio/offsets"]
    file["audio/offsets"] = offsets


def end_of_offsets(file: h5py.File) -> None:
    file["audio/offsets"][-1] -= 1


def stale_mean(file: h5py.File) -> None:
    file["audio/means"][2] += 1


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (nan, {"not_finite", "mean"}),
        (zero_row, {"zero_row", "mean"}),
        (duplicate, {"duplicate_id"}),
        (backward_offsets, {"offsets"}),
        (short_offsets, {"offsets"}),
        (end_of_offsets, {"offsets"}),
        (stale_mean, {"mean"}),
    ],
)
def test_validation_finds_damage(kit, clips, path, damage, kinds) -> None:
    kit.extract(path, clips)
    assert validate_store(path) == []
    with h5py.File(path, "a") as file:
        damage(file)
    assert {finding.kind for finding in validate_store(path)} == kinds


@pytest.mark.parametrize(
    "absent",
    ["clips", "clips/id", "clips/path", "visual", "visual/offsets", "audio/means", "failures"],
)
def test_stores_that_lack_a_part_are_damaged_beyond_reading(kit, clips, path, absent) -> None:
    kit.extract(path, clips)
    with h5py.File(path, "a") as file:
        del file[absent]
    with pytest.raises(SetupError, match=r"is not an avcmr feature store \(is damaged: .*; give"):
        validate_store(path)


def test_validation_finds_files_that_changed_and_passes_over_those_gone(kit, clips, path) -> None:
    kit.extract(path, clips)
    clips[0].path.unlink()
    clips[1].path.write_bytes(b"another clip")
    os.utime(clips[2].path, ns=(1, 1))
    found = validate_store(path)
    assert [(one.kind, one.id) for one in found] == [
        ("changed", clips[1].id),
        ("changed", clips[2].id),
    ]
