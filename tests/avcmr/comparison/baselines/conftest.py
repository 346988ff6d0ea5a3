"""Small synthetic clips whose classes show in both modalities."""

import pytest
import torch

from avcmr.config import Config
from avcmr.config_files import load_config
from avcmr.features.dataset import PairedFeatures


def clips(count: int, seed: int, *, classes: int = 4, noise: float = 1.0) -> PairedFeatures:
    """Classes of unequal size, audio of 6 and visual of 9 dimensions, in float32."""
    centre = torch.Generator().manual_seed(99)
    centres = [torch.randn(classes, dim, generator=centre) for dim in (6, 9)]
    draw = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, generator=draw).square() * classes).long()
    labels[:classes] = torch.arange(classes)
    audio, visual = (
        middle[labels] + noise * torch.randn(count, middle.shape[1], generator=draw)
        for middle in centres
    )
    return PairedFeatures(tuple(map(str, range(count))), audio, visual, labels)


@pytest.fixture(scope="session")
def train() -> PairedFeatures:
    return clips(160, seed=0)


@pytest.fixture(scope="session")
def val() -> PairedFeatures:
    return clips(60, seed=1)


@pytest.fixture(scope="session")
def test() -> PairedFeatures:
    return clips(80, seed=2)


@pytest.fixture(scope="session")
def quick() -> Config:
    """A small network, 20 epochs in all."""
    return load_config(
        None,
        [
            "batch_size=32",
            "model.hidden=[32]",
            "model.embedding_dim=6",
            "stage1.max_epochs=15",
            "stage2.max_epochs=5",
            "stage1.learning_rate=5e-3",
        ],
    )
