"""Decoded frames → the input of Inception-v3."""

from torch import Tensor
from torchvision.transforms.v2 import functional

_INPUT_SIZE = 299
"""Pixels on each side of Inception-v3's input."""


def resize(frames: Tensor) -> Tensor:
    """Resize whole frames to 299 x 299; frames of that size are returned as they are.

    Nothing is cropped away, and the aspect ratio is not kept. The resized pixels are rounded to
    8 bits, as if the frames had been stored at that size.

    Args:
        frames: (B, H, W, 3) uint8 RGB, on any device.

    Returns:
        (B, 299, 299, 3) uint8, on the same device.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.is_floating_point():
        raise ValueError(
            f"frames must be (B, H, W, 3) uint8, not {tuple(frames.shape)} {frames.dtype}"
        )
    if frames.shape[1:3] == (_INPUT_SIZE, _INPUT_SIZE):
        return frames
    images = frames.permute(0, 3, 1, 2)
    resized: Tensor = functional.resize(images, [_INPUT_SIZE, _INPUT_SIZE], antialias=True)
    return resized.permute(0, 2, 3, 1)


def to_inception_input(frames: Tensor, *, grey: float = 128.0) -> Tensor:
    """Scale frames to [-1, 1], (x - grey) / grey, after :func:`resize`.

    Args:
        frames: (B, H, W, 3) uint8 RGB, on any device.
        grey: the level that becomes zero: the network's ``GREY``.

    Returns:
        (B, 3, 299, 299) float32 with the channels stored innermost, on the same device.
    """
    return (resize(frames).permute(0, 3, 1, 2).float() - grey) / grey
