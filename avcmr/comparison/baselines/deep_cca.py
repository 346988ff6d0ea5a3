"""DCCA: networks whose outputs correlate most, and CCA of those outputs.

Andrew, Arora, Bilmes & Livescu, *Deep Canonical Correlation Analysis*, ICML 2013, section 3; in
batches, as Wang, Arora, Livescu & Bilmes, *On Deep Multi-View Representation Learning*, ICML
2015, section 3.1, found to work if they are large.
"""

import torch
from torch import Tensor

from avcmr.comparison.baselines.cca import canonical_directions, covariances
from avcmr.comparison.baselines.gradient import TwoBranchLearner, by_gradient
from avcmr.comparison.baselines.method import Embedder, Method
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures

_RIDGE = 1e-3
"""Added to the outputs' covariances, as the paper's r₁ and r₂."""

_BATCH_SIZE = 512
"""Small batches give poor estimates of the covariances."""


def correlation_loss(x: Tensor, y: Tensor, ridge: float = _RIDGE) -> Tensor:
    """(B, D) outputs of both networks → minus the sum of their D canonical correlations.

    That is −‖T‖ₜᵣ of section 3 with k = D. Instead of Σ^(−1/2), whose gradient diverges where
    eigenvalues coincide, the Cholesky factors whiten the covariances: T changes by a rotation on
    either side, which leaves its singular values unchanged.
    """
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    eye = ridge * torch.eye(x.shape[1], dtype=x.dtype)
    root_x = torch.linalg.cholesky(x.T @ x / (len(x) - 1) + eye)
    root_y = torch.linalg.cholesky(y.T @ y / (len(x) - 1) + eye)
    half = torch.linalg.solve_triangular(root_x, x.T @ y / (len(x) - 1), upper=False)
    t = torch.linalg.solve_triangular(root_y, half.T, upper=False)
    total: Tensor = torch.linalg.svdvals(t).sum()
    return -total


class DeepCCA(TwoBranchLearner):
    """Two branches followed by linear CCA of their outputs, refitted after each epoch."""

    def __init__(self, train: PairedFeatures, config: Config) -> None:
        super().__init__(train, config.model)
        size = config.model.embedding_dim
        for name in ("audio", "visual"):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_directions", torch.eye(size))

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        x, y = self.network.audio.project(audio), self.network.visual.project(visual)
        return correlation_loss(x, y)

    def before_validation(self, train: PairedFeatures) -> None:
        x, y = self.network.audio.project(train.audio), self.network.visual.project(train.visual)
        mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
        spectra = covariances((x - mean_x).double(), (y - mean_y).double())
        found = canonical_directions(*spectra, _RIDGE)
        self.audio_mean, self.visual_mean = mean_x, mean_y
        self.audio_directions = (found.x * found.correlations).float()
        self.visual_directions = (found.y * found.correlations).float()

    def embedder(self) -> Embedder:
        return Embedder(
            lambda audio: (
                (self.network.audio.project(audio) - self.audio_mean) @ self.audio_directions
            ),
            lambda visual: (
                (self.network.visual.project(visual) - self.visual_mean) @ self.visual_directions
            ),
        )


METHODS = (
    Method(
        "dcca",
        "trained",
        "Andrew et al. 2013, section 3",
        by_gradient(DeepCCA, batch_size=_BATCH_SIZE),
    ),
)
