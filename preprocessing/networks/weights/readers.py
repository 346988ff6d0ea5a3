"""Files of tensors that others write, read without running any code they may contain."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A PyTorch state dict, without ImageNet classifiers if it has them."""
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    heads = ("fc.", "AuxLogits.")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a NumPy archive."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
