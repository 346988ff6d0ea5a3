"""Decoded frames → the input of Inception-v3."""

from torch import Tensor
from torchvision.transforms.v2 import functional

INPUT_SIZE = 299
"""Pixels on each side of Inception-v3's input."""


def to_inception_input(frames: Tensor) -> Tensor:
    """Resize frames and scale them as the 2015 graph does, (x - 128) / 128.

    Frames of another size are resized whole, width and height each to 299: nothing is cropped
    away, and the aspect ratio is not kept. The resized pixels are rounded to 8 bits, as if the
    frames had been stored at that size.

    Args:
        frames: (B, H, W, 3) uint8 RGB, on any device.

    Returns:
        (B, 3, 299, 299) float32 in [-1, 0.9922], on the same device.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.is_floating_point():
        raise ValueError(
            f"frames must be (B, H, W, 3) uint8, not {tuple(frames.shape)} {frames.dtype}"
        )
    images = frames.permute(0, 3, 1, 2)  # (B, 3, H, W)
    if images.shape[-2:] != (INPUT_SIZE, INPUT_SIZE):
        images = functional.resize(images, [INPUT_SIZE, INPUT_SIZE], antialias=True)
    return (images.float() - 128) / 128
