"""DSCMR: labels, pairwise similarities and closeness of pairs in one loss.

Zhen, Hu, Wang & Peng, *Deep Supervised Cross-Modal Retrieval*, CVPR 2019, section 3, with the
weights and the row norms of the authors' published code.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize, one_hot

from avcmr.comparison.baselines.gradient import TwoBranchLearner, by_gradient
from avcmr.comparison.baselines.method import Embedder, Method, class_count
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures

SIMILARITY_WEIGHT, PAIR_WEIGHT = 1e-3, 1e-1
"""λ and η of equation 8."""


def pairwise_likelihood_loss(a: Tensor, b: Tensor, same: Tensor) -> Tensor:
    """(A, D), (B, D), (A, B) bool → mean of log(1 + e^Γ) − S·Γ with Γ = cos/2: equations 5, 6."""
    gamma = normalize(a, dim=1) @ normalize(b, dim=1).T / 2
    return (-logsigmoid(-gamma) - same * gamma).mean()


def _distance_loss(a: Tensor, b: Tensor) -> Tensor:
    """(B, D) twice → mean Euclidean distance of their rows."""
    distances: Tensor = torch.linalg.vector_norm(a - b, dim=1)
    return distances.mean()


class DSCMR(TwoBranchLearner):
    """Our branches with a shared last layer, and one linear classifier for both."""

    def __init__(self, train: PairedFeatures, config: Config) -> None:
        super().__init__(train, config.model)
        # Section 3.2: sharing the last layer forces both modalities into one space.
        self.network.visual.layers[-1] = self.network.audio.layers[-1]
        self.classes = class_count(train)
        self.classifier = nn.Linear(config.model.embedding_dim, self.classes, bias=False)

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        u, v = self.network.audio.project(audio), self.network.visual.project(visual)
        target = one_hot(labels, self.classes).to(u)
        same = (labels[:, None] == labels[None, :]).to(u)
        to_labels = _distance_loss(self.classifier(u), target) + _distance_loss(
            self.classifier(v), target
        )
        similarity = sum(
            (pairwise_likelihood_loss(a, b, same) for a, b in ((u, v), (u, u), (v, v))),
            start=torch.zeros(()),
        )
        return to_labels + SIMILARITY_WEIGHT * similarity + PAIR_WEIGHT * _distance_loss(u, v)

    def embedder(self) -> Embedder:
        return Embedder(self.network.audio.project, self.network.visual.project)


METHODS = (Method("dscmr", "trained", "Zhen et al. 2019, section 3", by_gradient(DSCMR)),)
