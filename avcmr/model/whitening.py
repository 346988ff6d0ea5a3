"""YouTube-8M's reduction of visual features: PCA, whitening, clipping, 8-bit quantization."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avcmr.config import ModelConfig
from preprocessing.errors import SetupError, UsageError
from preprocessing.networks.quantization import QUANTIZE_RANGE, dequantize

_EIGENVALUE_FLOOR = 1e-4
"""Added to each eigenvalue before the square root, as in YouTube-8M's feature extractor."""


def require_fitting_components(clips: int, width: int, config: ModelConfig) -> None:
    """Refuse more components than the training clips or the published matrices allow.

    Raises:
        UsageError: with what would fit.
    """
    if config.visual_pca:
        WhiteningPCA(width, config.visual_pca, config.yt8m_pca).check(clips)


class WhiteningPCA(nn.Module):
    """Features (B, D) → (B, K) float32 in [-1.992, 2.008].

    z = (x − mean) · componentsᵀ / √(eigenvalues + 1e-4), clipped to [−2, 2], rounded to 8 bits and
    dequantized as YouTube-8M's reader does. Mean, components and eigenvalues are fitted, and saved
    with the weights.

    Args:
        input_dim: D.
        components: K.
        published: folder with YouTube-8M's own ``mean.npy``, ``eigenvals.npy`` and
            ``eigenvecs.npy`` to take instead of fitting.
    """

    mean: Tensor
    components: Tensor
    eigenvalues: Tensor

    def __init__(self, input_dim: int, components: int, published: Path | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("components", torch.zeros(components, input_dim))
        self.register_buffer("eigenvalues", torch.ones(components))
        self._published = published

    def check(self, clips: int) -> None:
        """Check that it can be fitted on so many training clips.

        Raises:
            AvcmrError: there are too few clips or dimensions for so many components, or the
                published matrices are not there or of other features.
        """
        if self._published is not None:
            self._read_published(self._published)
        else:
            self._require_enough(clips, len(self.mean))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Fit to training features (N, D), or read the published matrices.

        Raises:
            AvcmrError: as :meth:`check` does.
        """
        self.check(len(features))
        if self._published is not None:
            mean, components, eigenvalues = self._read_published(self._published)
        else:
            from sklearn.decomposition import PCA  # takes long to import

            # Exact and deterministic, whichever of N and D is larger.
            pca = PCA(len(self.components), svd_solver="covariance_eigh")
            pca.fit(features.cpu().double().numpy())
            mean, components, eigenvalues = pca.mean_, pca.components_, pca.explained_variance_
        for buffer, values in (
            (self.mean, mean),
            (self.components, components),
            (self.eigenvalues, eigenvalues),
        ):
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def forward(self, features: Tensor) -> Tensor:
        low, high = QUANTIZE_RANGE
        whitened = (features - self.mean) @ self.components.T
        whitened = whitened / (self.eigenvalues + _EIGENVALUE_FLOOR).sqrt()
        # YouTube-8M rounds where VGGish's own post-processor cuts off.
        codes = ((whitened.clamp(low, high) - low) * (255 / (high - low))).round()
        return dequantize(codes)

    def _require_enough(self, clips: int, width: int) -> None:
        wanted = len(self.components)
        if wanted > width:
            raise UsageError(
                f"model.visual_pca {wanted}: the visual features have {width} dimensions only; set "
                f"model.visual_pca={width} or less, or 0 to take them as they are"
            )
        if wanted >= clips:
            raise UsageError(
                f"model.visual_pca {wanted} needs more than {wanted} training clips to be fitted, "
                f"and there are {clips}; set model.visual_pca={clips - 1} or less, or take "
                "YouTube-8M's matrices (--yt8m-pca DIR)"
            )

    def _read_published(self, folder: Path) -> list[np.ndarray]:
        """Mean (D,), components (K, D) and eigenvalues (K,) of YouTube-8M's files."""
        wanted, width = self.components.shape
        expected = {
            "mean.npy": (width, 1),
            "eigenvecs.npy": (width, width),  # one component a row
            "eigenvals.npy": (width, 1),
        }
        arrays = []
        for name, shape in expected.items():
            try:
                array = np.load(folder / name, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise SetupError(
                    f"{folder / name}: cannot be read ({error}); unpack yt8m_pca.tgz of "
                    "YouTube-8M's feature extractor there"
                ) from None
            if array.shape != shape or wanted > width:
                raise SetupError(
                    f"{folder / name}: {array.shape}, where visual features of {width} dimensions "
                    f"and {wanted} components need {shape}; YouTube-8M's matrices are for "
                    "Inception-v3's 2048 (avcmr extract) and up to 2048 components"
                )
            arrays.append(array)
        mean, vectors, values = arrays
        return [mean[:, 0], vectors[:wanted], values[:wanted, 0]]
