"""Kernel CCA: canonical correlation of non-linear features of each modality.

Hardoon, Szedmak & Shawe-Taylor, *Canonical correlation analysis: an overview with application to
learning methods*, Neural Computation 2004, section 4. Instead of N × N kernels, clips are mapped
to Nyström features of at most ``LANDMARKS`` training clips (Williams & Seeger, NIPS 2000):
φ(x) = K(L, L)^(−1/2) K(L, x). With all training clips as landmarks this is exact; of a larger
training split every n-th clip is a landmark, since memory grows with LANDMARKS² and time with
LANDMARKS³.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avcmr.comparison.baselines.cca import Scaling, Spectrum, best_directions, covariances
from avcmr.comparison.baselines.method import Choice, Method
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures

LANDMARKS = 1600
"""At most this many training clips are landmarks."""

Kernel = Callable[[Tensor, Tensor], Tensor]
"""(N, D), (L, D) → (N, L)."""


def gaussian_kernel(x: Tensor, y: Tensor) -> Tensor:
    """D·exp(−‖x − y‖² / 2D).

    Two clips of mean variance 1 in D dimensions are √(2D) apart and have length √D, so the ridge
    has much the same effect with this kernel as with the linear one.
    """
    dimensions = x.shape[1]
    return dimensions * torch.exp(-torch.cdist(x, y).square() / (2 * dimensions))


@dataclass(frozen=True, slots=True)
class NystroemFeatures:
    """(N, D) features → φ (N, L), of mean 0 over the training clips.

    Attributes:
        scaling: of the features.
        kernel: between scaled features and landmarks.
        landmarks: (L, D) scaled features.
        root: (L, L), K(L, L)^(−1/2).
        mean: (L,), of φ over the training clips.
    """

    scaling: Scaling
    kernel: Kernel
    landmarks: Tensor
    root: Tensor
    mean: Tensor

    @classmethod
    def of(cls, features: Tensor, kernel: Kernel, most: int) -> "NystroemFeatures":
        """With every n-th of these training features as landmarks, at most ``most`` of them."""
        scaling = Scaling.of(features)
        scaled = scaling(features)
        landmarks = scaled[:: -(-len(scaled) // most)]
        root = Spectrum.of(kernel(landmarks, landmarks)).inverse_root()
        return cls(scaling, kernel, landmarks, root, (kernel(scaled, landmarks) @ root).mean(dim=0))

    def __call__(self, features: Tensor) -> Tensor:
        return self.kernel(self.scaling(features), self.landmarks) @ self.root - self.mean


def fit_kernel(
    train: PairedFeatures,
    val: PairedFeatures,
    config: Config,
    kernel: Kernel,
    landmarks: int = LANDMARKS,
) -> Choice:
    """CCA of φ with one kernel for both modalities; validation chooses as for CCA."""
    x = NystroemFeatures.of(train.audio, kernel, landmarks)
    y = NystroemFeatures.of(train.visual, kernel, landmarks)
    spectra = covariances(x(train.audio), y(train.visual))
    return best_directions((x, y), spectra, train, val, config)


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """With Gaussian kernels as wide as the typical distance of two clips."""
    return fit_kernel(train, val, config, gaussian_kernel)


METHODS = (Method("kcca", "closed form", "Hardoon et al. 2004, section 4", fit, seeded=False),)
