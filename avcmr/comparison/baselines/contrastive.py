"""InfoNCE between the modalities, with the clip's own pair or all of its class as positives.

van den Oord, Li & Vinyals, *Representation Learning with Contrastive Predictive Coding*, 2018,
equation 4, symmetric and with a learned temperature as in Radford et al., *Learning Transferable
Visual Models From Natural Language Supervision* (CLIP), ICML 2021, section 2.3. Class positives
as in Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020, equation 2.
"""

from functools import partial
from math import log

import torch
from torch import Tensor, nn

from avcmr.comparison.baselines.gradient import TwoBranchLearner, by_gradient
from avcmr.comparison.baselines.method import Method
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures

INITIAL_SCALE, LARGEST_SCALE = 1 / 0.07, 100.0
"""Inverse temperature, as in CLIP."""


def contrastive_loss(similarity: Tensor, positive: Tensor) -> Tensor:
    """(B, B) scaled similarities, (B, B) bool → mean over both directions and all anchors.

    For an anchor i with positives P(i): −1/|P(i)| Σ_{p ∈ P(i)} log softmax(similarity[i])[p].
    """
    forth = _one_direction(similarity, positive)
    return (forth + _one_direction(similarity.T, positive.T)) / 2


def _one_direction(similarity: Tensor, positive: Tensor) -> Tensor:
    likelihood = similarity.log_softmax(dim=1)
    return -((likelihood * positive).sum(dim=1) / positive.sum(dim=1)).mean()


class _Contrastive(TwoBranchLearner):
    """Attracts the two embeddings of a clip, or those of a class, and repels all others."""

    def __init__(self, train: PairedFeatures, config: Config, *, class_positives: bool) -> None:
        super().__init__(train, config.model)
        self.class_positives = class_positives
        self.log_scale = nn.Parameter(torch.tensor(log(INITIAL_SCALE)))

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        a, v = self.network(audio, visual)
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        same_class = labels[:, None] == labels[None, :]
        positive = same_class if self.class_positives else torch.eye(len(a), dtype=torch.bool)
        return contrastive_loss(scale * a @ v.T, positive)


METHODS = (
    Method(
        "infonce",  # labels are not used
        "trained",
        "Radford et al. 2021, section 2.3",
        by_gradient(partial(_Contrastive, class_positives=False)),
    ),
    Method(
        "infonce-classes",
        "trained",
        "Khosla et al. 2020, eq. 2",
        by_gradient(partial(_Contrastive, class_positives=True)),
    ),
)
