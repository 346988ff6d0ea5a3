"""Stage 2's augmentation: synthetic embeddings between two of one class."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


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
    synthetic = normalize(between.flatten(0, 1), dim=1)
    return synthetic, labels[first].repeat(points)
