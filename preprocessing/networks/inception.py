"""Inception-v3 up to pool3: the graph of 2015-12-05, and torchvision's own.

The graph that Google released in 2015 (``classify_image_graph_def.pb``) is the one behind
YouTube-8M's visual features. It is built of torchvision's blocks, but its average pools leave the
padding out of the mean, and its last block pools by maximum.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from preprocessing.networks.loading import pretrained, untrained
from preprocessing.networks.weights import resolve

InceptionName = Literal["inception_v3_2015", "inception_v3_imagenet"]


class Inception2015(nn.Sequential):
    """(B, 3, 299, 299) float32, scaled by (x - 128) / 128 → pool3, (B, 2048) float32.

    Tensors are named as in torchvision's ``Inception3``, without its auxiliary classifier and
    last layer: 21,802,784 parameters from the graph, and its batch norms' scale, which is one.
    """

    GREY = 128.0
    """The 8-bit level that is mapped to zero."""

    def __init__(self) -> None:
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3, stride=2),  # (B, 32, 149, 149)
            "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
            "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3, padding=1),
            "maxpool1": nn.MaxPool2d(kernel_size=3, stride=2),  # (B, 64, 73, 73)
            "Conv2d_3b_1x1": BasicConv2d(64, 80, kernel_size=1),
            "Conv2d_4a_3x3": BasicConv2d(80, 192, kernel_size=3),
            "maxpool2": nn.MaxPool2d(kernel_size=3, stride=2),  # (B, 192, 35, 35)
            "Mixed_5b": _BlockA(192, pool_features=32),
            "Mixed_5c": _BlockA(256, pool_features=64),
            "Mixed_5d": _BlockA(288, pool_features=64),
            "Mixed_6a": InceptionB(288),  # (B, 768, 17, 17)
            "Mixed_6b": _BlockC(768, channels_7x7=128),
            "Mixed_6c": _BlockC(768, channels_7x7=160),
            "Mixed_6d": _BlockC(768, channels_7x7=160),
            "Mixed_6e": _BlockC(768, channels_7x7=192),
            "Mixed_7a": InceptionD(768),  # (B, 1280, 8, 8)
            "Mixed_7b": _BlockE(1280, pool=_average_pool()),
            "Mixed_7c": _BlockE(2048, pool=nn.MaxPool2d(3, stride=1, padding=1)),
            "avgpool": nn.AdaptiveAvgPool2d(1),  # (B, 2048, 1, 1)
            "flatten": nn.Flatten(),
        }
        super().__init__(OrderedDict(layers))


def _average_pool() -> nn.AvgPool2d:
    """3x3 means over the pixels that exist; torchvision counts the padding as zeros."""
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


class _BlockA(InceptionA):  # type: ignore[misc]  # torchvision carries no types
    """torchvision's 35x35 block with the 2015 graph's average pool."""

    def __init__(self, in_channels: int, pool_features: int) -> None:
        super().__init__(in_channels, pool_features)
        self.pool = _average_pool()

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(self.pool(x)),
        )
        return torch.cat(branches, dim=1)


class _BlockC(InceptionC):  # type: ignore[misc]
    """torchvision's 17x17 block with the 2015 graph's average pool."""

    def __init__(self, in_channels: int, channels_7x7: int) -> None:
        super().__init__(in_channels, channels_7x7)
        self.pool = _average_pool()

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        branches = (
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(self.pool(x)),
        )
        return torch.cat(branches, dim=1)


class _BlockE(InceptionE):  # type: ignore[misc]
    """torchvision's 8x8 block with the given pool before its pool branch."""

    def __init__(self, in_channels: int, pool: nn.Module) -> None:
        super().__init__(in_channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = (
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self.pool(x)),
        )
        return torch.cat(branches, dim=1)


class InceptionImageNet(Inception3):  # type: ignore[misc]
    """(B, 3, 299, 299) float32, scaled by (x - 127.5) / 127.5 → pool3, (B, 2048) float32.

    torchvision's network with its ImageNet weights, which is a port of TensorFlow-slim's of 2016.
    Its recipe normalizes by ImageNet's mean and standard deviation and undoes that inside the
    network, which leaves the scale above.
    """

    GREY = 127.5
    """The 8-bit level that is mapped to zero."""

    def __init__(self) -> None:
        super().__init__(aux_logits=False, init_weights=False)
        self.fc = nn.Identity()


Inception = Inception2015 | InceptionImageNet

INCEPTIONS: Mapping[InceptionName, Callable[[], Inception]] = {
    "inception_v3_2015": Inception2015,
    "inception_v3_imagenet": InceptionImageNet,
}


def load_inception(name: InceptionName, directory: Path | None = None) -> Inception:
    """The pretrained network.

    Raises:
        SetupError: the weights are not available, or not the published ones.
    """
    return pretrained(INCEPTIONS[name], resolve(name, directory).tensors())


def untrained_inception(seed: int, name: InceptionName = "inception_v3_2015") -> Inception:
    """The network with seeded random weights: to try the pipeline, not for results."""
    return untrained(INCEPTIONS[name], seed)
