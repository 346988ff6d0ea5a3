"""Cluster-CCA: canonical correlation over all pairs of a class, not just the clips' own pairs.

Rasiwasia, Mahajan, Mahadevan & Aggarwal, *Cluster Canonical Correlation Analysis*, AISTATS 2014,
equations 6 to 9. The pairs are never formed: a class of n clips contributes n² pairs, each clip
occurs in n of them, and their sum of products is n² times the product of the class means.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import one_hot

from avcmr.comparison.baselines.cca import Scaling, Spectrum, best_directions
from avcmr.comparison.baselines.method import Choice, Method
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
    x, y = Scaling.of(train.audio), Scaling.of(train.visual)
    pairs = ClassPairs.of(x(train.audio), y(train.visual), train.labels)
    lifts = (lambda audio: x(audio) - pairs.mean_x, lambda visual: y(visual) - pairs.mean_y)
    spectra = Spectrum.of(pairs.xx), Spectrum.of(pairs.yy), pairs.xy
    most = min(len(train.labels.unique()) - 1, *pairs.xy.shape)
    return best_directions(lifts, spectra, train, val, config, most=most)


METHODS = (
    Method("cluster-cca", "closed form", "Rasiwasia et al. 2014, eq. 6–9", fit, seeded=False),
)
