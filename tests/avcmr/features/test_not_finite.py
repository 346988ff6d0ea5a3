"""NaN, infinity and overflow in a feature file are refused before anything is done with it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from preprocessing.errors import SetupError

QUICK = ["batch_size=16", "model.hidden=[16]", "stage1.max_epochs=1", "stage2.max_epochs=1"]


def poison(path: Path, split: str, value: float, rows: int = 1) -> None:
    with h5py.File(path, "a") as file:
        values = file[f"visual_{split}"][()].astype(np.float64)
        values[:rows, 3] = value
        del file[f"visual_{split}"]
        file[f"visual_{split}"] = values


def avcmr(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stderr


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300, 1e30])
def test_any_split_and_any_value_that_is_no_feature(feature_file, split, value) -> None:
    path = feature_file()
    poison(path, split, value, rows=7)
    first = {"train": 0, "val": 64, "test": 88}
    with pytest.raises(SetupError, match="NaN, infinity or overflow") as caught:
        load_dataset(path, load_config().data)
    ids = ", ".join(f"{split}/{first[split] + row}" for row in range(5))
    assert f"of 7 clips ({ids} and 2 more); list them: avcmr features validate" in str(caught.value)


@pytest.mark.usefixtures("alone")
def test_every_command_refuses_them_in_one_line(feature_file, tmp_path) -> None:
    path, run = feature_file(), tmp_path / "runs" / "a"
    assert avcmr("train", "--cpu", "--features", path, "--run", "a", "--runs", run.parent, *QUICK)[
        0
    ] == (0)
    poison(path, "test", np.nan)
    for words in (
        ("train", "--cpu", "--features", path, "--run", "b", "--runs", run.parent),
        ("evaluate", run),
        ("index", run),
        ("compare", "--features", path, "--out", tmp_path / "comparison", "--methods", "cca"),
    ):
        code, said = avcmr(*words)
        assert code == 2
        assert said.count("\n") == 1 and "overflow in the features of 1 clip (test/88)" in said
    assert not (run.parent / "b").exists()


def test_the_remedies_leave_them_out(feature_file, tmp_path) -> None:
    path, store, finite = feature_file(), tmp_path / "store.h5", tmp_path / "finite.h5"
    poison(path, "val", np.inf, rows=2)
    code, said = avcmr("features", "validate", path)
    assert code == 1 and "not_finite: 2" in said
    code, said = avcmr("features", "import", path, "--finite", "--out", finite)
    assert code == 0
    assert len(load_dataset(finite, load_config().data).val) == 22

    code, said = avcmr("features", "import", path, "--out", store)
    assert code == 0 and "features of 2 clips; --finite" in said
    with pytest.raises(SetupError, match=r"avcmr features subset .*store.h5 --finite --out"):
        load_dataset(store, load_config().data)
    code, said = avcmr("features", "export", store, "--out", tmp_path / "published.h5")
    assert code == 2 and "overflow in the features of 2 clips (val/64, val/65)" in said
    code, said = avcmr("features", "subset", store, "--finite", "--out", tmp_path / "subset.h5")
    assert code == 0
    assert len(load_dataset(tmp_path / "subset.h5", load_config().data).val) == 22
