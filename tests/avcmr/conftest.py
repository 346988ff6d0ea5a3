"""Small paired features with structure, in the published layout."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

FeatureFile = Callable[..., Path]


@pytest.fixture
def feature_file(tmp_path: Path) -> FeatureFile:
    """Writes a file whose classes are clusters that both modalities see, plus noise."""

    def write(
        *, train: int = 64, val: int = 24, test: int = 24, classes: int = 4, noise: float = 1.0
    ) -> Path:
        rng = np.random.default_rng(0)
        centres = {
            "audio": rng.normal(size=(classes, 16)),
            "visual": rng.normal(size=(classes, 24)),
        }
        path = tmp_path / "paired.h5"
        with h5py.File(path, "w") as file:
            for split, count in (("train", train), ("val", val), ("test", test)):
                if count == 0:
                    continue
                labels = np.arange(count) % classes
                file[f"lab_{split}"] = labels
                for modality, centre in centres.items():
                    values = centre[labels] + noise * rng.normal(size=(count, centre.shape[1]))
                    file[f"{modality}_{split}"] = values.astype(np.float32)
        return path

    return write
