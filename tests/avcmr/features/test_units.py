"""Seconds and events of clips against plain loops over their rows, and a run on each."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from avcmr.config_files import load_config
from avcmr.evaluation.embeddings import embed_test_split
from avcmr.features.dataset import load_dataset
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.clips import Clip, Split
from preprocessing.errors import UsageError
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.store import FeatureStore, FeatureWriter, Provenance

EVENTS = [(None, None), (1.0, 4.0), (2.2, 2.3), (None, 3.0)]


def make_store(
    path: Path,
    clips: int = 40,
    *,
    events: bool = True,
    cuts: int = 1,
    splits: tuple[Split, ...] = ("",),
) -> list[ClipFeatures]:
    """Ten visual rows a second apart and nine of sound each; ``cuts`` of one file each."""
    draw = np.random.default_rng(0)
    made = []
    with FeatureWriter(path, Provenance({}, {}, "fake")) as writer:
        listed = []
        for number in range(clips):
            start, end = EVENTS[number % 4] if events else (None, None)
            file = path.with_name(f"{number // cuts}.mp4")
            split = splits[number // cuts % len(splits)]
            clip = Clip(f"{number % 2}/{number:02d}", file, f"class {number % 2}", split)
            listed.append(replace(clip, event_start=start, event_end=end))
            features = ClipFeatures(
                visual=draw.standard_normal((10, 6), np.float32) + number % 2,
                visual_times=np.arange(10) + 0.5,
                audio=draw.standard_normal((9, 4), np.float32) + number % 2,
                audio_times=0.96 * np.arange(9) + 0.48,
                duration=10.0,
                source=Source(1, 1),
            )
            made.append(features)
            writer.add(listed[-1], features)
        writer.finish(listed)
    return made


def splits_by_unit(path: Path, unit: str) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Split → id → (visual, audio)."""
    dataset = load_dataset(path, load_config(None, [f"data.unit={unit}"]).data)
    return {
        split: {
            id_: (part.visual[row].numpy(), part.audio[row].numpy())
            for row, id_ in enumerate(part.ids)
        }
        for split, part in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test))
    }


@pytest.mark.parametrize("splits", [("",), ("train", "train", "train", "test")])
def test_cuts_of_one_file_are_in_one_split(tmp_path, splits) -> None:
    """Where there are no splits, and where validation is taken from training."""
    make_store(tmp_path / "store.h5", 80, cuts=2, splits=splits)
    parts = splits_by_unit(tmp_path / "store.h5", "clip")
    files = {name: [int(id_[2:]) // 2 for id_ in part] for name, part in parts.items()}
    assert all(len(part) == 2 * len(set(part)) > 0 for part in files.values())
    assert sum(map(len, files.values())) == 80


def test_each_second_is_a_unit_in_the_split_of_its_clip(tmp_path) -> None:
    made = make_store(tmp_path / "store.h5")
    whole, seconds = (splits_by_unit(tmp_path / "store.h5", unit) for unit in ("clip", "second"))
    for split, clips in whole.items():
        assert len(seconds[split]) == 10 * len(clips)
        for clip_id in clips:
            features = made[int(clip_id.partition("/")[2])]
            for row, time in enumerate(features.visual_times):
                visual, audio = seconds[split][f"{clip_id}@{time:g}"]
                distances = [abs(other - time) for other in features.audio_times]
                np.testing.assert_array_equal(visual, features.visual[row])
                np.testing.assert_array_equal(
                    audio, features.audio[distances.index(min(distances))]
                )


def test_an_event_is_the_mean_of_the_rows_inside(tmp_path) -> None:
    made = make_store(tmp_path / "store.h5")
    events = splits_by_unit(tmp_path / "store.h5", "event")
    rows = {  # visual and audio rows of each kind of event
        0: (range(10), range(9)),
        1: ([1, 2, 3], [1, 2, 3]),  # 1.5 2.5 3.5, and 1.44 2.40 3.36
        2: ([2], [2]),  # no middle lies within 2.2 to 2.3: the nearest
        3: ([0, 1, 2], [0, 1, 2]),
    }
    seen = 0
    for units in events.values():
        for id_, (visual, audio) in units.items():
            number = int(id_.partition("/")[2])
            pictures, sounds = rows[number % 4]
            np.testing.assert_allclose(
                visual, made[number].visual[list(pictures)].mean(0), atol=1e-6
            )
            np.testing.assert_allclose(audio, made[number].audio[list(sounds)].mean(0), atol=1e-6)
            seen += 1
    assert seen == 40
    config = load_config(None, ["data.unit=event"]).data
    (warning,) = load_dataset(tmp_path / "store.h5", config).warnings
    assert warning.startswith("10 of 40 clips have no event")


def test_units_of_some_classes_only(tmp_path) -> None:
    make_store(tmp_path / "store.h5", 60)
    with FeatureStore(tmp_path / "store.h5") as store:
        names = sorted(set(store.labels.tolist()), reverse=True)
    config = load_config(None, ["data.unit=second", f"data.classes={names}"]).data
    dataset = load_dataset(tmp_path / "store.h5", config)
    for id_, label in zip(dataset.test.ids, dataset.test.labels.tolist(), strict=True):
        assert dataset.class_names[label] == f"class {id_[0]}"


def test_published_sequences_have_seconds_too(tmp_path) -> None:
    draw = np.random.default_rng(0)
    with h5py.File(tmp_path / "ave.h5", "w") as file:
        for split in ("train", "val", "test"):
            file[f"audio_{split}"] = draw.normal(size=(4, 10, 3))
            file[f"visual_{split}"] = draw.normal(size=(4, 10, 5))
            file[f"lab_{split}"] = [0, 1, 0, 1]
        expected = file["visual_test"][1, 3].astype(np.float32)
    units = splits_by_unit(tmp_path / "ave.h5", "second")
    np.testing.assert_array_equal(units["test"]["test/9@3.5"][0], expected)


def test_a_run_on_seconds_is_measured_on_seconds(tmp_path) -> None:
    make_store(tmp_path / "store.h5")
    settings = ["data.unit=second", "batch_size=32", "model.hidden=[16]", "stage1.max_epochs=2"]
    config = load_config(
        None, [*settings, "stage2.max_epochs=1", f"features={tmp_path / 'store.h5'}"]
    )
    dataset = load_dataset(tmp_path / "store.h5", config.data)
    run = RunFolder(tmp_path / "run")
    with run.opened(config, dataset):
        train(dataset, config, run)
    embedded = embed_test_split(run)
    assert len(embedded.ids) == len(dataset.test) == 80
    assert all("@" in id_ for id_ in embedded.ids)


def test_where_there_are_no_such_units_the_remedy_is_named(feature_file, tmp_path) -> None:
    second, event = (load_config(None, [f"data.unit={unit}"]).data for unit in ("second", "event"))
    with pytest.raises(UsageError, match=r"paired.h5: has one row a clip.*use --unit clip"):
        load_dataset(feature_file(), second)
    make_store(tmp_path / "store.h5", events=False)
    with pytest.raises(UsageError, match=r"store.h5: knows of no events.*event_start,event_end"):
        load_dataset(tmp_path / "store.h5", event)
