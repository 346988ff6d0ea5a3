"""``avcmr reproduce`` on features in each of the published layouts."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from avcmr.cli import app
from avcmr.config_files import load_config, preset
from avcmr.features.dataset import load_dataset
from preprocessing.errors import SetupError


def avcmr(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


Writer = Callable[[Path, int], Path]


def values(classes: int, per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Audio (N, 128) and visual (N, 1024) as published, in float32, and labels (N,)."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    features = (rng.normal(size=(classes, dim))[labels] for dim in (128, 1024))
    audio, visual = (part + rng.normal(size=part.shape) for part in features)
    return audio.astype(np.float32), visual.astype(np.float32), labels


def write_split(path: Path, classes: int) -> Path:
    """``audio_train audio_test …``: the first published layout."""
    audio, visual, labels = values(classes, 9)
    test = np.arange(len(labels)) % 9 >= 6
    with h5py.File(path, "w") as file:
        for name, rows in (("train", ~test), ("test", test)):
            file[f"audio_{name}"], file[f"visual_{name}"] = audio[rows], visual[rows]
            file[f"lab_{name}"] = labels[rows]
    return path


def write_sequences(path: Path, classes: int) -> Path:
    """The same with ten rows a clip, whose mean is what the first layout holds."""
    audio, visual, labels = values(classes, 9)
    test = np.arange(len(labels)) % 9 >= 6
    drift = np.linspace(-1, 1, 10, dtype=np.float32)[None, :, None]
    with h5py.File(path, "w") as file:
        for name, rows in (("train", ~test), ("test", test)):
            file[f"audio_{name}"] = audio[rows][:, None] + drift
            file[f"visual_{name}"] = visual[rows][:, None] + drift
            file[f"lab_{name}"] = labels[rows][:, None]
    return path


def flat_writer(column: str) -> Writer:
    """``audio_feat visual_feat Label_ID`` and a column of 1 (train) and 0 (test)."""

    def write(path: Path, classes: int) -> Path:
        audio, visual, labels = values(classes, 9)
        with h5py.File(path, "w") as file:
            file["audio_feat"], file["visual_feat"], file["Label_ID"] = audio, visual, labels
            file[column] = (np.arange(len(labels)) % 9 < 6).astype(np.int64)
        return path

    return write


LAYOUTS = {
    "split": write_split,
    "sequences": write_sequences,
    "flat, Train_test": flat_writer("Train_test"),
    "flat, Split": flat_writer("Split"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_read(layout, tmp_path) -> None:
    path = LAYOUTS[layout](tmp_path / "features.h5", 10)
    dataset = load_dataset(path, load_config().data)
    audio, visual, labels = values(10, 9)
    test = np.arange(len(labels)) % 9 >= 6
    np.testing.assert_allclose(dataset.test.audio, audio[test], atol=1e-6)
    np.testing.assert_allclose(dataset.test.visual, visual[test], atol=1e-6)
    assert dataset.test.labels.tolist() == labels[test].tolist()
    assert len(dataset.train) + len(dataset.val) == (~test).sum()


@pytest.mark.parametrize(
    ("dataset", "classes", "layout"),
    [("vegas", 10, "split"), ("ave15", 15, "flat, Split"), ("ave", 28, "flat, Train_test")],
)
def test_reproduce_shows_published_numbers_beside_ours(dataset, classes, layout, tmp_path) -> None:
    features = LAYOUTS[layout](tmp_path / "features.h5", classes)
    command = (
        *("reproduce", dataset, "--features", features, "--out", tmp_path / "out"),
        *("--methods", "random,cluster-cca", "--seeds", "2", "--json"),
    )
    done = avcmr(*command)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [one["method"] for one in told["methods"]] == ["cluster-cca", "random"]
    assert told["methods"][0]["average"]["mean"] > 0.9
    assert all(one["read_in"] for one in told["published"])
    shown = {one["method"]: one["audio_to_visual"] for one in told["published"]}
    # Nobody has published numbers on all 28 classes of AVE.
    assert shown.get("DCLMA") == {"vegas": 0.933, "ave15": 0.507}.get(dataset)
    assert ("Published, not measured here" in done.stderr) == bool(shown)
    for outcome in told["outcomes"]:
        inflated = outcome["prefix_averaged"]
        assert (inflated is None) == (not shown)
        assert not shown or (len(inflated) == 2 and all(0 < value <= 1 for value in inflated))
    assert (tmp_path / "out" / "comparison.md").read_text().count("published:") == len(shown)


def test_reproduce_refuses_features_of_another_data_set(tmp_path) -> None:
    features = write_split(tmp_path / "features.h5", 10)
    command = ("reproduce", "vegas", "--features", features, "--out", tmp_path / "out")
    done = avcmr(*command, "model.visual_pca=9999")
    assert (done.exit_code, "dimensions only" in done.stderr) == (2, True)
    done = avcmr("reproduce", "ave", "--features", features, "--out", tmp_path / "out")
    assert (done.exit_code, "10 classes, where this data set has 28" in done.stderr) == (2, True)
    done = avcmr("reproduce", "ave15", "--features", features, "--out", tmp_path / "out")
    assert (done.exit_code, "10 classes without names" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_15_classes_are_taken_from_all_28_by_name_in_their_order(tmp_path) -> None:
    path = write_split(tmp_path / "features.h5", 28)
    wanted = load_config(preset("ave15")).data
    assert wanted.classes is not None
    others = [f"other {number}" for number in range(13)]
    names = [*others, *reversed(wanted.classes)]
    with h5py.File(path, "a") as file:
        file.attrs["classes"] = names
    dataset = load_dataset(path, wanted)
    assert dataset.class_names == wanted.classes
    _, visual, labels = values(28, 9)
    clocks = visual[(labels == 27) & (np.arange(len(labels)) % 9 >= 6)]
    np.testing.assert_array_equal(dataset.test.visual[dataset.test.labels == 0], clocks)
    assert len(dataset.test) == 15 * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Split": None}, "without Train_test"),
        ({"Label_ID": None}, "without Label_ID"),
        ({"Split": np.full(90, 2)}, "Split must be 1 .train. or 0 .test., found 2"),
        ({"Label_ID": np.zeros(80)}, "labels for 90 clips"),
        ({"audio_feat": np.zeros((80, 128))}, "audio features must be .90, D."),
    ],
)
def test_flat_files_that_do_not_fit_together_are_refused(change, message, tmp_path) -> None:
    path = flat_writer("Split")(tmp_path / "features.h5", 10)
    with h5py.File(path, "a") as file:
        for name, replaced in change.items():
            del file[name]
            if replaced is not None:
                file[name] = replaced
    with pytest.raises(SetupError, match=message):
        load_dataset(path, load_config().data)
