"""Small paired features with structure, in the published layout."""

from collections.abc import Callable
from pathlib import Path

import pytest

FeatureFile = Callable[..., Path]


@pytest.fixture
def feature_file(tmp_path: Path, write_published) -> FeatureFile:
    """Writes a file whose classes are clusters shared by both modalities, plus noise."""

    def write(
        *, train: int = 64, val: int = 24, test: int = 24, classes: int = 4, noise: float = 1.0
    ) -> Path:
        path = tmp_path / "paired.h5"
        clips = {"train": train, "val": val, "test": test}
        present = {split: count for split, count in clips.items() if count}
        write_published(path, present, classes=classes, noise=noise)
        return path

    return write
