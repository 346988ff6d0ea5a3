"""Curriculum augmentation: synthetic embeddings interpolated between those of one class."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

_MIN_NORM = 0.01
"""Of what is scaled to unit length: halfway between opposed embeddings the norm is 0, and the
gradient of the scaling would be unbounded."""


def interpolate(embeddings: Tensor, labels: Tensor, *, points: int) -> tuple[Tensor, Tensor]:
    """Embeddings on the line between any two of one class and one modality.

    For every pair i < j of one label and k = 1 … n: x_k = (k·x_i + (n + 1 − k)·x_j) / (n + 1),
    scaled back to unit length (Embedding Expansion, Ko & Gu, CVPR 2020, equation 2, with n
    ``points``). Gradients flow to both ends.

    Args:
        embeddings: (B, D), of unit length, one modality.
        labels: (B,) int64.
        points: synthetic embeddings per pair; 0 gives none.

    Returns:
        (M, D) synthetic embeddings and their (M,) labels, M = points × same-class pairs.
    """
    same = (labels[:, None] == labels[None, :]).triu(diagonal=1)
    first, second = same.nonzero(as_tuple=True)  # (pairs,)
    weight = torch.arange(1, points + 1, device=embeddings.device, dtype=embeddings.dtype)
    weight = (weight / (points + 1))[:, None, None]  # (n, 1, 1)
    between = weight * embeddings[first] + (1 - weight) * embeddings[second]  # (n, pairs, D)
    synthetic = normalize(between.flatten(0, 1), dim=1, eps=_MIN_NORM)
    return synthetic, labels[first].repeat(points)


def convex_combinations(
    members: Tensor, labels: Tensor, *, per_class: int, points: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random convex combinations of several members of each class.

    Every one is Σᵢ wᵢ·mᵢ over ``points`` members drawn with replacement from its class, with
    weights uniform on the simplex (Dirichlet(1, …, 1)), scaled back to unit length. With one point
    they are the members themselves; with ever more they approach the class mean, and noise of
    single clips, such as wrong labels, averages out.

    Args:
        members: (N, D) embeddings of unit length.
        labels: (N,) int64.
        per_class: M, how many for each class.
        points: how many members each lies between, at least 1.
        generator: on the CPU, so that the draws are the same on every device.

    Returns:
        (C, M, D) synthetic embeddings of the C classes that have members, and the (C,) labels,
        ascending.
    """
    classes, counts = labels.unique(return_counts=True)  # (C,)
    draws = (len(classes), per_class, points)
    weights = torch.empty(draws).exponential_(generator=generator).to(members)
    weights /= weights.sum(dim=2, keepdim=True)
    place = (
        torch.rand(draws, generator=generator).to(labels.device) * counts[:, None, None]
    ).long()
    starts = counts.cumsum(0) - counts
    rows = labels.argsort(stable=True)[starts[:, None, None] + place]  # (C, M, points)
    between = torch.einsum("cmp,cmpd->cmd", weights, members[rows])
    return normalize(between, dim=2, eps=_MIN_NORM), classes
