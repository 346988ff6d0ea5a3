"""The kind of a media file, by its content and not by its name."""

from pathlib import Path
from typing import Literal

from preprocessing.media.headers import has_video, opened

Kind = Literal["image", "video", "audio"]


def media_kind(path: Path) -> Kind:
    """Whether a file is an image, a video (with or without sound) or audio alone.

    Raises:
        ClipError: ``missing``, ``empty``, ``not_media`` or ``corrupt``.
    """
    if _is_image(path):
        return "image"
    with opened(path) as container:
        return "video" if has_video(container) else "audio"


def _is_image(path: Path) -> bool:
    """Whether it starts with the magic bytes of JPEG, PNG or WebP."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        head.startswith(b"RIFF") and head.endswith(b"WEBP")
    )
