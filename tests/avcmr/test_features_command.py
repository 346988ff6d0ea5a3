"""``avcmr features`` as a user gives it, and training on what it reads and writes."""

import json

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config import load_config
from avcmr.data import load_dataset


def avcmr(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_training_reads_a_published_file_and_its_store_alike(feature_file, tmp_path) -> None:
    published = feature_file()
    code, out, _ = avcmr("features", "import", published, "--out", tmp_path / "store.h5")
    assert (code, out) == (0, f"{tmp_path / 'store.h5'}\n")
    direct, stored = (
        load_dataset(path, load_config().data) for path in (published, tmp_path / "store.h5")
    )
    assert direct.fingerprint == stored.fingerprint
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


def test_findings_are_exit_code_1(feature_file, tmp_path) -> None:
    path = feature_file()
    with h5py.File(path, "a") as file:
        file["audio_val"][2] = 0
        file["visual_test"][1, 0] = np.nan
    code, out, _ = avcmr("features", "validate", path, "--json")
    found = {(one["kind"], one["id"]) for one in json.loads(out)}
    assert (code, found) == (1, {("zero_row", "val/66"), ("not_finite", "test/89")})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "absent.h5"], "no feature store at absent.h5"),
        (["validate", "absent.h5"], "no feature store at absent.h5"),
        (["merge", "absent.h5", "--out", "out.h5"], "no feature store at absent.h5"),
        (["import", "absent.h5"], "absent.h5: neither HDF5 with"),
        (["subset", "STORE", "--class", "lion", "--out", "o.h5"], "no class lion; avcmr features"),
    ],
)
def test_errors_name_file_and_remedy(feature_file, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    if "STORE" in arguments:
        avcmr("features", "import", feature_file(), "--out", "STORE")
    code, _, narration = avcmr("features", *arguments)
    assert code == 2
    assert message in " ".join(narration.split())
