"""A still image, decoded as one frame of a clip."""

from pathlib import Path
from typing import cast

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from preprocessing.errors import ClipError

FORMATS = ("JPEG", "PNG", "WEBP")
"""What Pillow may decode: it knows dozens of formats, some of them hardly maintained."""

MAX_PIXELS = 64_000_000
"""Limit against decompression bombs: a few kilobytes can expand to gigabytes."""


def decode_image(path: Path, size: int | None = 299) -> NDArray[np.uint8]:
    """One upright frame (1, size, size, 3) uint8 RGB, resized as the frames of clips are.

    Transparency becomes white; of an animation the first frame is taken.

    Args:
        path: a JPEG, PNG or WebP file.
        size: height and width in pixels; None keeps the image's own.

    Raises:
        ClipError: ``missing``, ``empty``, ``not_media``, ``corrupt`` or ``out_of_memory``.
    """
    try:
        if path.stat().st_size == 0:
            raise ClipError("empty", f"{path}: the file has no bytes; fetch it again")
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large(path, f"{width} × {height} pixels")
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(_on_white(upright))
    except UnidentifiedImageError:
        raise ClipError("not_media", f"{path}: not a JPEG, PNG or WebP picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path, "more pixels than any camera gives") from None
    except OSError as error:
        if error.errno is not None:  # the operating system's, not Pillow's
            raise ClipError("missing", f"{path}: {error.strerror}") from None
        raise _damaged(path, error) from None
    except (ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for damaged files
        raise _damaged(path, error) from None
    frame = VideoFrame.from_ndarray(pixels, format="rgb24")
    resized = cast(NDArray[np.uint8], frame.reformat(size, size, "rgb24").to_ndarray())
    return resized[None]


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would clip to 8
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _too_large(path: Path, found: str) -> ClipError:
    return ClipError(
        "out_of_memory",
        f"{path}: {found}, more than the limit of {MAX_PIXELS / 1e6:g} million; make it smaller",
    )


def _damaged(path: Path, error: Exception) -> ClipError:
    return ClipError("corrupt", f"{path}: a damaged picture ({error}); fetch it again")
