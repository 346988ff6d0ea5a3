"""Random embeddings: what a ranking is worth that knows nothing."""

import torch
from torch import Tensor

from avcmr.baselines import Embedder, Method
from avcmr.config import Config
from avcmr.data import PairedFeatures


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Embedder:
    """Normal noise for every item, whatever its features are."""
    generator = torch.Generator().manual_seed(config.seed)

    def noise(features: Tensor) -> Tensor:
        return torch.randn(len(features), config.model.embedding_dim, generator=generator)

    return Embedder(noise, noise)


METHODS = (Method("random", "chance", "isotropic noise", fit),)
