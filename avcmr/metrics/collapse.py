"""Gauges that show during training whether an embedding space is collapsing."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.metrics.ranking import check_finite

COLLAPSED_BELOW = 0.02
"""The ``distance_spread`` below which an embedding space counts as collapsed.

Random directions in D dimensions have 1/√D (.18 in 32, .044 in 512), and structure adds to that:
healthy runs measured .12 to .7 in every epoch. Runs that collapsed fell below .02 within some ten
epochs, whatever the margin, and went on to .001 to .008.
"""


@dataclass(frozen=True, slots=True)
class CollapseGauges:
    """How far embeddings are from collapsing to one point.

    Attributes:
        mean_distance: mean cosine distance of two different items; 0 when all coincide.
        effective_rank: number of directions in use; 1 when all coincide, 0 when all are zero.
    """

    mean_distance: float
    effective_rank: float


def collapse_gauges(embeddings: Tensor) -> CollapseGauges:
    """(N ≥ 2, D) embeddings → gauges of their directions; lengths do not matter.

    With unit rows xᵢ, the mean of 1 − xᵢ·xⱼ over i ≠ j follows from ‖Σ xᵢ‖² without forming the
    pairs. The effective rank is exp(−Σ pᵢ ln pᵢ) with pᵢ = σᵢ/Σσ from the singular values of the
    uncentred matrix (Roy & Vetterli, EUSIPCO 2007); centring would leave the noise of a collapsed
    set, which has full rank.
    """
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"embeddings must be (N ≥ 2, D), not {tuple(embeddings.shape)}")
    check_finite("embeddings", embeddings)
    unit = normalize(embeddings.detach().double(), dim=1)  # (N, D)
    pairs = len(unit) * (len(unit) - 1)
    distance = 1 - float(unit.sum(0).square().sum() - unit.square().sum()) / pairs
    singular = torch.linalg.svdvals(unit)  # (min(N, D),)
    if not singular.any():
        return CollapseGauges(distance, 0.0)
    shares = singular / singular.sum()
    return CollapseGauges(distance, float(torch.special.entr(shares).sum().exp()))


def distance_spread(query: Tensor, gallery: Tensor) -> float:
    """(Q, D), (G, D) → how much the distances from a query to the gallery differ.

    The standard deviation of the cosine distance over the gallery, as root mean square over
    queries. It is 0 when all items are equally far, so that nothing can be retrieved: when the
    gallery collapses to one point, even if the queries collapse to another, and when the two
    modalities lie in orthogonal subspaces. The mean distance over both modalities detects neither
    of the last two. Computed from the gallery's covariance, without forming the pairs.
    """
    for name, rows in (("query", query), ("gallery", gallery)):
        check_finite(f"{name} embeddings", rows)
    query, gallery = (normalize(x.detach().double(), dim=1) for x in (query, gallery))
    centred = gallery - gallery.mean(0)  # (G, D)
    covariance = centred.T @ centred / len(gallery)  # (D, D)
    return float(((query @ covariance) * query).sum(1).mean().sqrt())
