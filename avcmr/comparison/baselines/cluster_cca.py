"""Cluster-CCA: canonical correlation over all pairs of a class, not just the clips' own pairs.

Rasiwasia, Mahajan, Mahadevan & Aggarwal, *Cluster Canonical Correlation Analysis*, AISTATS 2014,
equations 6 to 9. The pairs are never formed: a class of n clips contributes n² pairs, each clip
occurs in n of them, and their sum of products is n² times the product of the class means.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import one_hot

from avcmr.comparison.baselines.cca import (
    RIDGES,
    LinearEncoder,
    Scaling,
    Spectrum,
    canonical_directions,
)
from avcmr.comparison.baselines.method import Choice, Embedder, Method, best_on_validation
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures


@dataclass(frozen=True, slots=True)
class ClassPairs:
    """Mean and covariance over all same-class pairs of (N, Dx) and (N, Dy) variates.

    Attributes:
        mean_x: (Dx,).
        mean_y: (Dy,).
        xx: (Dx, Dx), divided by the number of pairs.
        yy: (Dy, Dy).
        xy: (Dx, Dy).
    """

    mean_x: Tensor
    mean_y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, labels: Tensor) -> "ClassPairs":
        member = one_hot(labels.unique(return_inverse=True)[1]).to(x)  # (N, C)
        sizes = member.sum(dim=0)  # (C,)
        pairs = sizes.square().sum()
        weight = (member @ sizes / pairs)[:, None]  # (N, 1): share of the pairs a clip occurs in
        mean_x, mean_y = (weight * x).sum(dim=0), (weight * y).sum(dim=0)
        x, y = x - mean_x, y - mean_y
        sums_x, sums_y = member.T @ x, member.T @ y  # (C, D): n times the class means
        xx, yy = x.T @ (weight * x), y.T @ (weight * y)
        return cls(mean_x, mean_y, xx, yy, sums_x.T @ sums_y / pairs)


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """At most classes − 1 directions correlate; validation chooses as for CCA."""
    scale_x, scale_y = Scaling.of(train.audio), Scaling.of(train.visual)
    pairs = ClassPairs.of(scale_x(train.audio), scale_y(train.visual), train.labels)
    spectra = Spectrum.of(pairs.xx), Spectrum.of(pairs.yy)
    most = min(len(train.labels.unique()) - 1, *pairs.xy.shape)

    def candidates() -> Iterator[Embedder]:
        for ridge in RIDGES:
            for x, y in canonical_directions(*spectra, pairs.xy, ridge).choices(most):
                yield Embedder(
                    LinearEncoder(scale_x, pairs.mean_x, x),
                    LinearEncoder(scale_y, pairs.mean_y, y),
                )

    return best_on_validation(candidates(), train, val, config)


METHODS = (
    Method("cluster-cca", "closed form", "Rasiwasia et al. 2014, eq. 6–9", fit, seeded=False),
)
