"""Clips as tiles of a report: a picture or a waveform, with its name."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from avcmr.modality import Find
from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.previews import thumbnail, waveform_peaks

_THUMBNAIL = 200
"""Longer side of a tile's picture in pixels, enough for high-density displays."""

HEIGHT = 90
"""Height of a waveform in SVG units; its width is ``PEAKS``."""


@dataclass(frozen=True, slots=True)
class _Tile:
    """One clip in one modality.

    ``content`` is a data URI of its picture, or its waveform as an SVG path; empty if the clip's
    file cannot be read.
    """

    id: str
    label: str
    kind: Find
    content: str


def tiles(clips: Sequence[Clip]) -> Callable[[int, Find], _Tile]:
    """The function row, kind → tile of that clip; each is decoded once."""

    @cache
    def tile(row: int, kind: Find) -> _Tile:
        clip = clips[row]
        try:
            content = _picture(clip) if kind == "picture" else _sound(clip)
        except ClipError:
            content = ""
        return _Tile(clip.id, clip.label, kind, content)

    return tile


def _picture(clip: Clip) -> str:
    return "data:image/jpeg;base64," + b64encode(thumbnail(clip, _THUMBNAIL)).decode("ascii")


def _sound(clip: Clip) -> str:
    """An upright stroke for each peak of the waveform, around the middle."""
    middle = HEIGHT / 2
    strokes = []
    for place, peak in enumerate(waveform_peaks(clip)):
        half = max(0.6, 0.85 * middle * peak)
        strokes.append(f"M{place + 0.5:g} {middle - half:.1f}V{middle + half:.1f}")
    return "".join(strokes)
