"""Cross-validation holds back whole recordings."""

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from avcmr.config_files import preset
from cross_validate import divided, origins


@pytest.mark.parametrize("fold", range(5))
def test_no_recording_is_in_two_parts(
    write_published: Callable[..., object], tmp_path: Path, fold: int
) -> None:
    """Three rows of each of 20 videos, all of one file of features."""
    path = tmp_path / "features.h5"
    write_published(path, {"train": 60, "test": 3}, classes=("a", "b"), dims=(8, 12))
    with h5py.File(path, "a") as file:
        ids = [f"v{number // 3:02}#{number}" for number in range(60)]
        file["id_train"] = np.array(ids, dtype="S")
        file["id_test"] = np.array(list("xyz"), dtype="S")
    clips = origins(path, preset("ave"))
    members = [clips[id_] for id_ in ids]
    parts = divided(members, fold, folds=5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    assert all(map(len, parts))
    videos = [{ids[row][:3] for row in part} for part in parts]
    assert sum(map(len, videos)) == len(set.union(*videos)) == 20
