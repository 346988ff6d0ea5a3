"""Random embeddings: the chance level of every metric."""

import torch
from torch import Tensor

from avcmr.comparison.baselines.method import Choice, Embedder, Method
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """Gaussian noise for every item, whatever its features."""
    generator = torch.Generator().manual_seed(config.seed)

    def noise(features: Tensor) -> Tensor:
        return torch.randn(len(features), config.model.embedding_dim, generator=generator)

    return Choice(*[Embedder(noise, noise)] * 2)


METHODS = (Method("random", "chance", "isotropic noise", fit),)
