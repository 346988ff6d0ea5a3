"""A short training whose test clips are embedded and measured."""

from pathlib import Path

import pytest

from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder


@pytest.fixture(scope="session")
def trained_run(write_published, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run on features of three classes without media; to be left as it is."""
    folder: Path = tmp_path_factory.mktemp("trained")
    features = folder / "features.h5"
    splits = {"train": 48, "val": 18, "test": 30}
    write_published(features, splits, classes=["dog", "cat", "drum"], noise=2.0)
    settings = ["batch_size=16", "model.hidden=[16]", "stage1.max_epochs=2", "stage2.max_epochs=1"]
    config = load_config(None, settings).model_copy(update={"features": features})
    run = RunFolder(folder / "run")
    dataset = load_dataset(features, config.data)
    with run.opened(config, dataset):
        train(dataset, config, run)
    return run
