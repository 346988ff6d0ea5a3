"""Canonical correlation analysis: linear maps under which the two modalities correlate most.

Hotelling, *Relations between two sets of variates*, Biometrika 1936; ridge on the covariances as
in Hardoon, Szedmak & Shawe-Taylor, *Canonical correlation analysis: an overview with application
to learning methods*, Neural Computation 2004, section 4.2; variates weighted by their correlation
as in Gong, Ke, Isard & Lazebnik, *A Multi-View Embedding Space for Modeling Internet Images, Tags,
and their Semantics*, IJCV 2014, equation 4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from avcmr.comparison.baselines.method import Choice, Embedder, Method, best_on_validation
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures
from avcmr.model.network import mean_and_std

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates, chosen on validation; in units of the features' mean variance, which is 1."""

Lift = Callable[[Tensor], Tensor]
"""(N, Dx) features → (N, D) float64, of mean 0 over what is correlated or regressed."""

DIMENSIONS = (8, 14, 20, 32, 64, 128)
"""Candidates for the number of canonical directions, chosen on validation."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenvalues (D,), ascending, and eigenvectors (D, D) of a covariance, in float64."""

    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, covariance: Tensor) -> "Spectrum":
        return cls(*torch.linalg.eigh(covariance))

    def inverse_root(self, ridge: float = 0.0) -> Tensor:
        """(covariance + ridge)^(−1/2), symmetric (D, D); 0 in directions without variance."""
        values = self.values + ridge
        floor = values[-1] * torch.finfo(values.dtype).eps * len(values)
        roots = torch.where(values > floor, values.clamp(min=floor).rsqrt(), 0.0)
        return self.vectors * roots @ self.vectors.T


@dataclass(frozen=True, slots=True)
class Canonical:
    """Pairs of directions, the most correlated first.

    Attributes:
        x: (Dx, K) directions of the first set of variates.
        y: (Dy, K) of the second.
        correlations: (K,) canonical correlations.
    """

    x: Tensor
    y: Tensor
    correlations: Tensor

    def choices(self, most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Up to ``most`` of the directions as two matrices, plain and times their correlation."""
        for k in sorted({k for k in DIMENSIONS if k < most} | {min(most, max(DIMENSIONS))}):
            for weight in (torch.ones(()), self.correlations[:k]):
                yield self.x[:, :k] * weight, self.y[:, :k] * weight


def canonical_directions(xx: Spectrum, yy: Spectrum, xy: Tensor, ridge: float = 0.0) -> Canonical:
    """Covariances of (Dx,) and (Dy,) variates, cross-covariance (Dx, Dy) → canonical directions.

    With T = Sxx^(−1/2) Sxy Syy^(−1/2) = U C Vᵀ, Sxx and Syy with the ridge added to their
    diagonals, the directions are Sxx^(−1/2) U and Syy^(−1/2) V and the correlations C.
    """
    root_x, root_y = xx.inverse_root(ridge), yy.inverse_root(ridge)
    u, correlations, v = torch.linalg.svd(root_x @ xy @ root_y, full_matrices=False)
    return Canonical(root_x @ u, root_y @ v.T, correlations)


def covariances(x: Tensor, y: Tensor) -> tuple[Spectrum, Spectrum, Tensor]:
    """Centred (N, Dx) and (N, Dy) → Sxx, Syy and Sxy, divided by N."""
    return Spectrum.of(x.T @ x / len(x)), Spectrum.of(y.T @ y / len(x)), x.T @ y / len(x)


@dataclass(frozen=True, slots=True)
class Scaling:
    """(N, D) features → float64 with mean 0 and mean variance 1 over the clips it was fitted to.

    All dimensions share one scale: those of little variance are mostly noise, and the ridge should
    suppress them (worth .06 of MAP on features that went through PCA).

    Attributes:
        mean: (D,).
        std: scalar, over all dimensions.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Scaling":
        return cls(*mean_and_std(features.double()))

    def __call__(self, features: Tensor) -> Tensor:
        return (features.double() - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Projection:
    """(N, Dx) features → (N, K): lifted to (N, D), times a matrix (D, K)."""

    lift: Lift
    matrix: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return self.lift(features) @ self.matrix


def best_directions(
    lifts: tuple[Lift, Lift],
    spectra: tuple[Spectrum, Spectrum, Tensor],
    train: PairedFeatures,
    val: PairedFeatures,
    config: Config,
    *,
    most: int | None = None,
) -> Choice:
    """Canonical directions of lifted features with these covariances, at most ``most`` of them.

    Validation chooses the ridge, and number and weighting of the directions.
    """

    def candidates() -> Iterator[Embedder]:
        for ridge in RIDGES:
            found = canonical_directions(*spectra, ridge)
            for matrices in found.choices(len(found.correlations) if most is None else most):
                yield Embedder(*map(Projection, lifts, matrices))

    return best_on_validation(candidates(), train, val, config)


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """CCA of the clips' own pairs."""
    x, y = Scaling.of(train.audio), Scaling.of(train.visual)
    spectra = covariances(x(train.audio), y(train.visual))
    return best_directions((x, y), spectra, train, val, config)


METHODS = (Method("cca", "closed form", "Hotelling 1936", fit, seeded=False),)
