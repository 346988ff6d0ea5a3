"""Ridge regression of each modality onto the one-hot labels, linear and with a Gaussian kernel.

Hoerl & Kennard, *Ridge Regression: Biased Estimation for Nonorthogonal Problems*, Technometrics
1970; the kernel form as in Saunders, Gammerman & Vovk, *Ridge Regression Learning Algorithm in Dual
Variables*, ICML 1998, in the features that kernel CCA takes its kernel by. A softmax makes class
probabilities of the regression's scores, and they are the embedding: semantic matching, as
in ``label_space``, in closed form.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import one_hot

from avcmr.baselines import Choice, Classifier, Embedder, Method, best_on_validation, classes_of
from avcmr.baselines.cca import Scaling, Spectrum
from avcmr.baselines.kernel_cca import LANDMARKS, NystroemFeatures, gaussian_kernel
from avcmr.config import Config
from avcmr.data import PairedFeatures

RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Chosen from on validation; in units of the features' mean variance, as CCA's."""

TEMPERATURES = (0.05, 0.1, 0.2, 0.4)
"""Likewise; in units of the scores, which are regressed to 0 and 1."""

Lift = Callable[[Tensor], Tensor]
"""(N, D) features → (N, L) float64, of mean 0 over the training clips."""


@dataclass(frozen=True, slots=True)
class Regression:
    """The minimum of mean |φ W + b − one-hot label|² + ridge |W|², for any ridge.

    Attributes:
        lift: φ.
        spectrum: of the covariance φᵀφ / N.
        cross: (L, C), φᵀ · one-hot / N.
        shares: (C,) of the classes, which is b.
    """

    lift: Lift
    spectrum: Spectrum
    cross: Tensor
    shares: Tensor

    @classmethod
    def of(cls, lift: Lift, features: Tensor, labels: Tensor, classes: int) -> "Regression":
        """Of (N, D) training features and (N,) labels."""
        phi = lift(features)
        targets = one_hot(labels, classes).to(phi)  # (N, C)
        covariance, cross = phi.T @ phi / len(phi), phi.T @ targets / len(phi)
        return cls(lift, Spectrum.of(covariance), cross, targets.mean(dim=0))

    def scores(self, ridge: float) -> Lift:
        """(N, D) features → (N, C) scores, with this ridge."""
        vectors = self.spectrum.vectors
        matrix = vectors / (self.spectrum.values + ridge) @ (vectors.T @ self.cross)
        return lambda features: self.lift(features) @ matrix + self.shares


def linear(features: Tensor) -> Lift:
    """The features themselves, scaled."""
    return Scaling.of(features)


def gaussian(features: Tensor) -> Lift:
    """Nyström's features of a Gaussian kernel, exact up to ``LANDMARKS`` training clips."""
    return NystroemFeatures.of(features, gaussian_kernel, LANDMARKS)


def fit_lifted(
    train: PairedFeatures, val: PairedFeatures, config: Config, lift: Callable[[Tensor], Lift]
) -> Choice:
    """Ridge and temperature are those of both modalities, and chosen on validation."""
    audio, visual = (
        Regression.of(lift(features), features, train.labels, classes_of(train))
        for features in (train.audio, train.visual)
    )

    def candidates() -> Iterator[Embedder]:
        for ridge in RIDGES:
            heard, seen = audio.scores(ridge), visual.scores(ridge)
            for temperature in TEMPERATURES:
                yield Classifier(_softmax(heard, temperature), _softmax(seen, temperature))

    return best_on_validation(candidates(), train, val, config)


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """Of the features themselves."""
    return fit_lifted(train, val, config, linear)


def fit_kernel(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """With a Gaussian kernel as wide as the clips are apart."""
    return fit_lifted(train, val, config, gaussian)


def _softmax(scores: Lift, temperature: float) -> Lift:
    return lambda features: (scores(features) / temperature).softmax(dim=1).float()


METHODS = (
    Method("ridge", "closed form", "Hoerl & Kennard 1970", fit, seeded=False),
    Method("kernel-ridge", "closed form", "Saunders et al. 1998", fit_kernel, seeded=False),
)
