"""The media files given to a benchmark."""

from collections.abc import Iterable
from pathlib import Path

from preprocessing.catalog.folders import MEDIA_SUFFIXES


def media_files(given: Iterable[Path]) -> list[Path]:
    """The given files, and all media files in the given folders."""
    return [
        path
        for place in given
        for path in (sorted(place.rglob("*")) if place.is_dir() else [place])
        if path.suffix.lower() in MEDIA_SUFFIXES
    ]
