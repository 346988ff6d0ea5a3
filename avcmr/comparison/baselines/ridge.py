"""Ridge regression of each modality onto the one-hot labels, linear and with a Gaussian kernel.

Hoerl & Kennard, *Ridge Regression: Biased Estimation for Nonorthogonal Problems*, Technometrics
1970; the kernel form as in Saunders, Gammerman & Vovk, *Ridge Regression Learning Algorithm in Dual
Variables*, ICML 1998, on the Nyström features of kernel CCA. A softmax turns the scores into class
probabilities, which are the embedding: semantic matching, as in ``label_space``, in closed form.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import one_hot

from avcmr.comparison.baselines.cca import Lift, Scaling, Spectrum
from avcmr.comparison.baselines.kernel_cca import LANDMARKS, NystroemFeatures, gaussian_kernel
from avcmr.comparison.baselines.method import (
    Choice,
    Classifier,
    Embedder,
    Encoder,
    Method,
    PairEmbedder,
    best_on_validation,
    class_count,
)
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures

RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates, chosen on validation; in units of the features' mean variance, as for CCA."""

TEMPERATURES = (0.05, 0.1, 0.2, 0.4)
"""Candidates, chosen on validation; in units of the scores, whose targets are 0 and 1."""


@dataclass(frozen=True, slots=True)
class Regression:
    """The minimiser of mean |φ W + b − one-hot label|² + ridge |W|², for any ridge.

    Attributes:
        spectrum: of the covariance φᵀφ / N.
        cross: (L, C), φᵀ · one-hot / N.
        shares: (C,) of the classes, which is b.
    """

    spectrum: Spectrum
    cross: Tensor
    shares: Tensor

    @classmethod
    def of(cls, phi: Tensor, labels: Tensor, classes: int) -> "Regression":
        """Fit to φ (N, L) of the training clips, whose mean is 0, and (N,) labels."""
        targets = one_hot(labels, classes).to(phi)  # (N, C)
        covariance, cross = phi.T @ phi / len(phi), phi.T @ targets / len(phi)
        return cls(Spectrum.of(covariance), cross, targets.mean(dim=0))

    def scores(self, ridge: float) -> Encoder:
        """The function φ (N, L) → scores (N, C), with this ridge."""
        vectors = self.spectrum.vectors
        matrix = vectors / (self.spectrum.values + ridge) @ (vectors.T @ self.cross)
        return lambda phi: phi @ matrix + self.shares


def gaussian(features: Tensor) -> Lift:
    """Nyström features of a Gaussian kernel, exact up to ``LANDMARKS`` training clips."""
    return NystroemFeatures.of(features, gaussian_kernel, LANDMARKS)


def _fit_lifted(
    train: PairedFeatures, val: PairedFeatures, config: Config, lift: Callable[[Tensor], Lift]
) -> Choice:
    """Ridge and temperature are shared by both modalities and chosen on validation."""
    lift_audio, lift_visual = lift(train.audio), lift(train.visual)
    audio, visual = (
        Regression.of(phi, train.labels, class_count(train))
        for phi in (lift_audio(train.audio), lift_visual(train.visual))
    )

    def candidates() -> Iterator[Embedder]:
        for ridge in RIDGES:
            scores = audio.scores(ridge), visual.scores(ridge)
            for temperature in TEMPERATURES:
                yield Classifier(*(_softmax(side, temperature) for side in scores))

    def behind(best: PairEmbedder) -> Classifier:
        assert isinstance(best, Classifier)
        return Classifier(_after(lift_audio, best.audio), _after(lift_visual, best.visual))

    # Validation clips are lifted once, not for every candidate.
    lifted = replace(val, audio=lift_audio(val.audio), visual=lift_visual(val.visual))
    return Choice(*map(behind, best_on_validation(candidates(), train, lifted, config)))


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """Linear regression."""
    return _fit_lifted(train, val, config, Scaling.of)


def fit_kernel(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """With a Gaussian kernel as wide as the typical distance of two clips."""
    return _fit_lifted(train, val, config, gaussian)


def _softmax(scores: Encoder, temperature: float) -> Encoder:
    return lambda phi: (scores(phi) / temperature).softmax(dim=1).float()


def _after(lift: Lift, encoder: Encoder) -> Encoder:
    return lambda features: encoder(lift(features))


METHODS = (
    Method("ridge", "closed form", "Hoerl & Kennard 1970", fit, seeded=False),
    Method("kernel-ridge", "closed form", "Saunders et al. 1998", fit_kernel, seeded=False),
)
