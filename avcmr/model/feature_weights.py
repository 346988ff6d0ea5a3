"""Weights of feature dimensions: how well each one separates the classes."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

MIN_WEIGHT = 1e-3
"""Weight of a dimension that does not separate the classes: no feature ever vanishes."""


def adjusted_r_squared(features: Tensor, labels: Tensor) -> Tensor:
    """(N, D) features and their (N,) int64 labels → (D,), each in [.001, 1.001].

    The adjusted R² of each dimension regressed on the class: the share of its variance between
    class means, less what (C − 1) means of N clips would explain of pure noise (Ezekiel 1930; in
    analysis of variance, Kelley's ε² of 1935). Values below 0 count as 0, and ``MIN_WEIGHT`` is
    added to all.
    """
    members = one_hot(labels).double()
    members = members[:, members.any(dim=0)]  # (N, C), classes with clips only
    clips, classes = members.shape
    # Matrix products, not index_add, which is not deterministic on GPUs.
    centred = features.double() - features.double().mean(dim=0)
    sums = members.T @ centred  # (C, D)
    between = (sums.square() / members.sum(dim=0)[:, None]).sum(dim=0)
    total = centred.square().sum(dim=0)
    unexplained = 1 - between / torch.where(total > 0, total, 1.0)
    adjusted = 1 - unexplained * (clips - 1) / max(clips - classes, 1)
    return (adjusted.clamp(min=0) + MIN_WEIGHT).to(features)
