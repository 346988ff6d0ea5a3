"""VGGish (Hershey et al. 2017): 0.96 s of log-mel → a 128-d embedding, and its PCA."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from preprocessing.networks.loading import pretrained, untrained
from preprocessing.networks.weights import resolve

_EMBEDDING_SIZE = 128


class VGGish(nn.Module):
    """The network up to its embedding layer, 72,141,184 parameters.

    Tensors are named as in the PyTorch port of harritaylor/torchvggish.

    Args:
        final_relu: end in a ReLU, as the first release did and the features published with
            AudioSet and AVE have it; the current release has none.
    """

    def __init__(self, *, final_relu: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolutions(64, "M", 128, "M", 256, 256, "M", 512, 512, "M")
        )
        self.embeddings = nn.Sequential(
            nn.Linear(6 * 4 * 512, 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, _EMBEDDING_SIZE),
            nn.ReLU() if final_relu else nn.Identity(),
        )

    def forward(self, examples: Tensor) -> Tensor:
        """(N, 1, 96, 64) float32 log-mel → (N, 128) float32."""
        maps = self.features(examples)  # (N, 512, 6, 4)
        # TensorFlow keeps channels last, and the first dense layer expects that order.
        embeddings: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return embeddings


def _convolutions(*plan: int | str) -> Iterator[nn.Module]:
    """The layers of a plan: an integer is a 3x3 convolution to that many channels, M a max-pool."""
    channels = 1
    for step in plan:
        if isinstance(step, int):
            yield nn.Conv2d(channels, step, kernel_size=3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = step
        else:
            yield nn.MaxPool2d(kernel_size=2)


class VGGishPCA(nn.Module):
    """The whitening PCA that the AudioSet and YouTube-8M features went through.

    Args:
        pca_eigen_vectors: (128, 128), one component a row.
        pca_means: (128,).
    """

    pca_eigen_vectors: Tensor
    pca_means: Tensor

    def __init__(self, pca_eigen_vectors: Tensor, pca_means: Tensor) -> None:
        super().__init__()
        self.register_buffer("pca_eigen_vectors", pca_eigen_vectors.float())
        self.register_buffer("pca_means", pca_means.float())

    def forward(self, embeddings: Tensor) -> Tensor:
        """(N, 128) float32 network output → (N, 128) float32, not yet clipped."""
        return (embeddings - self.pca_means) @ self.pca_eigen_vectors.T


def load_vggish(directory: Path | None = None, *, final_relu: bool = True) -> VGGish:
    """The pretrained network.

    Raises:
        SetupError: the weights are not available, or not the published ones.
    """
    tensors = resolve("vggish", directory).tensors()
    return pretrained(partial(VGGish, final_relu=final_relu), tensors)


def load_vggish_pca(directory: Path | None = None) -> VGGishPCA:
    """The published PCA.

    Raises:
        SetupError: the parameters are not available, or not the published ones.
    """
    return VGGishPCA(**resolve("vggish_pca", directory).tensors())


def untrained_vggish(seed: int, *, final_relu: bool = True) -> VGGish:
    """The network with seeded random weights: to try the pipeline, not for results."""
    return untrained(partial(VGGish, final_relu=final_relu), seed)
