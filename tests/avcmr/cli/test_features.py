"""``avcmr features`` as a user gives it, and training on what it reads and writes."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from preprocessing.clips import Clip
from preprocessing.media.damage import UNDAMAGED, Damage
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.networks.weights import SOURCES, PublishedFile
from preprocessing.networks.weights.readers import read_npz
from preprocessing.store import Block, FeatureWriter, Provenance, Record, Rows, write_store


def avcmr(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("without", ["none", "val"])
def test_training_reads_a_published_file_and_its_store_alike(
    feature_file, tmp_path, without
) -> None:
    """A validation split that is missing is taken from training clips, which share one file."""
    published = feature_file()
    with h5py.File(published, "a") as file:
        for name in [name for name in file if name.endswith(without)]:
            del file[name]
    code, out, _ = avcmr("features", "import", published, "--out", tmp_path / "store.h5")
    assert (code, out) == (0, f"{tmp_path / 'store.h5'}\n")
    direct, stored = (
        load_dataset(path, load_config().data) for path in (published, tmp_path / "store.h5")
    )
    assert direct.fingerprint == stored.fingerprint
    assert len(direct.val) > 0
    assert direct.class_names == stored.class_names == ("0", "1", "2", "3")
    assert torch.equal(direct.test.visual, stored.test.visual)


def test_numbered_classes_get_the_names_of_the_settings(feature_file, tmp_path) -> None:
    avcmr("features", "import", feature_file(classes=12), "--out", tmp_path / "store.h5")
    names = [f"class {number}" for number in range(12)]
    dataset = load_dataset(tmp_path / "store.h5", load_config(None, [f"data.classes={names}"]).data)
    with h5py.File(tmp_path / "paired.h5") as file:
        assert dataset.test.labels.tolist() == file["lab_test"][()].tolist()  # 10 comes after 9
    assert dataset.class_names == tuple(names)


def test_round_trip_through_every_command(feature_file, tmp_path) -> None:
    store = tmp_path / "store.h5"
    avcmr("features", "import", feature_file(), "--out", store)
    assert avcmr("features", "validate", store)[0] == 0
    code, out, _ = avcmr("features", "info", store, "--json")
    facts = json.loads(out)
    assert (code, facts["clips"], facts["splits"]["val"]) == (0, 112, 24)
    assert facts["visual"] == "24-d, 1 to 1 rows a clip"

    for part in ("train", "val", "test"):
        avcmr("features", "subset", store, "--split", part, "--out", tmp_path / f"{part}.h5")
    parts = [tmp_path / f"{part}.h5" for part in ("train", "val", "test")]
    assert avcmr("features", "merge", *parts, "--out", tmp_path / "all.h5")[0] == 0
    assert avcmr("features", "export", tmp_path / "all.h5", "--out", tmp_path / "out.h5")[0] == 0
    with h5py.File(tmp_path / "out.h5") as out_file, h5py.File(tmp_path / "paired.h5") as original:
        for name in original:
            np.testing.assert_array_equal(out_file[name], original[name])

    avcmr("features", "subset", store, "--per-class", 3, "--class", 1, "--out", tmp_path / "few.h5")
    _, out, _ = avcmr("features", "info", tmp_path / "few.h5", "--json")
    assert json.loads(out)["classes"] == {"1": 3}


def test_damage_is_said(tmp_path) -> None:
    store = tmp_path / "store.h5"
    one, time = np.ones((1, 8), np.float32), np.ones(1)
    clips = [Clip(f"{number}", Path("a.mp4"), "dog") for number in range(3)]
    damages = (UNDAMAGED, Damage(frames=0.1), Damage(sound=0.02, notes=("its clocks were joined",)))
    with FeatureWriter(store, Provenance({}, {}, "test")) as writer:
        for clip, damage in zip(clips, damages, strict=True):
            writer.add(clip, ClipFeatures(one, time, one, time, 1.0, Source(1, 1), damage))
        writer.finish(clips)
    _, out, _ = avcmr("features", "info", store, "--json")
    assert json.loads(out)["damage"] == {
        "clips": 2,
        "frames replaced by their neighbours": 1,
        "sound replaced by silence": 1,
        "its clocks were joined": 1,
    }


def test_findings_are_exit_code_1(feature_file, tmp_path) -> None:
    path = feature_file()
    with h5py.File(path, "a") as file:
        file["audio_val"][2] = 0
        file["visual_test"][1, 0] = np.nan
    code, out, _ = avcmr("features", "validate", path, "--json")
    found = {(one["kind"], one["id"]) for one in json.loads(out)}
    assert (code, found) == (1, {("zero_row", "val/66"), ("not_finite", "test/89")})


def test_ids_that_repeat_are_a_finding_of_a_published_file(feature_file, tmp_path) -> None:
    path = feature_file(train=8, val=4, test=4)
    with h5py.File(path, "a") as file:
        for split, count in (("train", 8), ("val", 4), ("test", 4)):
            ids = [f"{split}{number}" for number in range(count)]
            file[f"id_{split}"] = [*ids[:-1], "again"]
    code, out, _ = avcmr("features", "validate", path, "--json")
    assert code == 1
    assert json.loads(out) == [
        {"kind": "duplicate_id", "id": "again", "message": "3 clips share this id"}
    ]


def test_folders_of_arrays_are_looked_into_with_their_manifest(tmp_path) -> None:
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}_vggish.npy", np.ones((2, 8)))
        np.save(tmp_path / f"{name}_clip.npy", np.full((4, 5), ord(name) - ord("a")))
        np.save(tmp_path / f"{name}_resnet.npy", np.ones((4, 6)))
    manifest = tmp_path / "clips.csv"
    manifest.write_text("path,label,split\na.mp4,dog,train\nb.mp4,cat,test\n")
    options = ("--manifest", manifest, "--visual-key", "clip", "--json")
    code, out, _ = avcmr("features", "info", tmp_path, *options)
    facts = json.loads(out)
    assert (code, facts["visual"], facts["splits"]) == (
        *(0, "5-d, 4 to 4 rows a clip"),
        {"train": 1, "test": 1},
    )
    code, out, _ = avcmr("features", "validate", tmp_path, *options)
    assert (code, [(one["kind"], one["id"]) for one in json.loads(out)]) == (1, [("zero_row", "a")])
    code, _, told = avcmr("features", "validate", manifest, "--visual-key", "clip")
    assert (code, "has labels and splits of its own" in told) == (2, True)


def test_weights_that_made_the_features_are_compared_with_those_here(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pca = tmp_path / "weights" / "pca.npz"
    pca.parent.mkdir()
    pca.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    source = PublishedFile(pca.name, sha256, 0.1, "CC0", read_npz, url="http://127.0.0.1:1/pca.npz")
    monkeypatch.setitem(SOURCES, "vggish_pca", (source,))
    clip = Clip("dog/1", tmp_path / "1.mp4", "dog", "train")
    one = np.ones((1, 4), np.float32)
    for name, then in (("same", sha256), ("other", "0" * 64)):
        weights = {"vggish_pca": then, "vggish": "untrained:seed=0", "of old": "1" * 64}
        record = Record(clip, Source(1, 1), 1.0, (1, 4), (1, 4))
        blocks = [(0, Block(*2 * [Rows.join([one], [np.ones(1)])]))]
        write_store(tmp_path / f"{name}.h5", Provenance({}, weights, "pyav"), [record], blocks)
    here = ("--weights", pca.parent, "--json")
    assert avcmr("features", "validate", tmp_path / "same.h5", *here)[0] == 0
    code, out, told = avcmr("features", "validate", tmp_path / "other.h5", *here)
    message = f"made with vggish_pca {'0' * 16}…, here it is {sha256[:16]}…"
    assert (code, json.loads(out)) == (1, [{"kind": "weights", "id": "", "message": message}])
    assert "run avcmr extract again" in told
    assert avcmr("features", "validate", tmp_path / "other.h5")[0] == 0  # none here: not compared


def test_a_store_is_wanted_and_a_published_file_given(feature_file, tmp_path) -> None:
    path = feature_file()
    for words in (("export", path), ("merge", path), ("subset", path)):
        code, _, told = avcmr("features", *words, "--out", tmp_path / "out.h5")
        assert code == 2
        assert f"published features become one with: avcmr features import {path}" in told
        assert "--out" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "absent.h5"], "no feature store at absent.h5"),
        (["validate", "absent.h5"], "no feature store at absent.h5"),
        (["merge", "absent.h5", "--out", "out.h5"], "no feature store at absent.h5"),
        (["import", "absent.h5"], "absent.h5: does not exist"),
        (
            ["subset", "STORE", "--class", "lion", "--out", "o.h5"],
            "has no class lion; there are 0, 1",
        ),
    ],
)
def test_errors_name_file_and_remedy(feature_file, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    if "STORE" in arguments:
        avcmr("features", "import", feature_file(), "--out", "STORE")
    code, _, narration = avcmr("features", *arguments)
    assert code == 2
    assert message in " ".join(narration.split())
