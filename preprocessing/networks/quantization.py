"""The 8-bit quantization of AudioSet's and YouTube-8M's features."""

import torch
from torch import Tensor

QUANTIZE_RANGE = (-2.0, 2.0)
"""The original's ``QUANTIZE_MIN_VAL`` and ``QUANTIZE_MAX_VAL``."""


def quantize(values: Tensor) -> Tensor:
    """Clip PCA output to [-2, 2] and scale it to 0 … 255, rounding down like the original.

    Args:
        values: float tensor of any shape.

    Returns:
        uint8 tensor of the same shape.
    """
    low, high = QUANTIZE_RANGE
    return ((values.clamp(low, high) - low) * (255 / (high - low))).to(torch.uint8)


def dequantize(codes: Tensor) -> Tensor:
    """Undo :func:`quantize` to within half a step, with the offset of YouTube-8M's own reader.

    Args:
        codes: uint8 tensor of any shape.

    Returns:
        float32 tensor of the same shape, in [-1.992, 2.008].
    """
    low, high = QUANTIZE_RANGE
    return codes.float() * ((high - low) / 255) + ((high - low) / 512 + low)
