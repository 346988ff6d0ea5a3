"""What a run has learned, without its data set."""

from pathlib import Path

import pytest
import torch

from avcmr.config_files import load_config
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.model.inference import embed
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network
from preprocessing.errors import SetupError


def clips(count: int, first: int) -> PairedFeatures:
    draw = torch.Generator().manual_seed(first)
    ids = tuple(f"{first + number}" for number in range(count))
    labels = torch.arange(count) % 3
    audio, visual = torch.randn(count, 5, generator=draw), torch.randn(count, 7, generator=draw)
    return PairedFeatures(ids, audio, visual, labels)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    short = ["model.hidden=[16]", "stage1.max_epochs=2", "stage2.max_epochs=1", "batch_size=8"]
    dataset = Dataset(
        train=clips(24, 0),
        val=clips(12, 100),
        test=clips(12, 200),
        class_names=("a", "b", "c"),
        warnings=(),
        fingerprint="made up",
    )
    run = RunFolder(tmp_path / "run")
    with run.opened(load_config(None, short), dataset):
        train(dataset, run.config(), run)
    return run


def test_the_network_is_the_best_one_and_needs_no_data_set(run: RunFolder) -> None:
    network = trained_network(run)
    stored = run.load("best").tensors
    assert network.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[key]) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    audio, visual = embed(network, clips(6, 300))
    torch.testing.assert_close((audio * audio).sum(1), torch.ones(6))
    assert audio.shape == visual.shape == (6, 3 + 2)


def test_weights_of_another_network_are_refused(run: RunFolder) -> None:
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("- 16", "- 17"))
    with pytest.raises(SetupError, match="another version of avcmr has trained it"):
        trained_network(run)
