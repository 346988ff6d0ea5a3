"""How much each number of a feature tells of the class."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

IRRELEVANT = 1e-3
"""What a number keeps that tells nothing, so that no feature ever vanishes altogether."""


def class_relevance(features: Tensor, labels: Tensor) -> Tensor:
    """(N, D) features and their (N,) int64 labels → (D,), each in [.001, 1.001].

    The adjusted R² of each number, regressed on the class: the share of its variance that lies
    between the classes' means, less what (C − 1) means of N clips would find in pure noise (Ezekiel
    1930; in analysis of variance, Kelley's ε² of 1935). Below 0 counts as 0, and to all is added
    ``IRRELEVANT``.
    """
    members = one_hot(labels).double()
    members = members[:, members.any(dim=0)]  # (N, C), of the classes that there are
    clips, classes = members.shape
    # Products of matrices, not index_add, whose order of adding is left to chance on GPUs.
    centred = features.double() - features.double().mean(dim=0)
    sums = members.T @ centred  # (C, D)
    between = (sums.square() / members.sum(dim=0)[:, None]).sum(dim=0)
    total = centred.square().sum(dim=0)
    unexplained = 1 - between / torch.where(total > 0, total, 1.0)
    adjusted = 1 - unexplained * (clips - 1) / max(clips - classes, 1)
    return (adjusted.clamp(min=0) + IRRELEVANT).to(features)
