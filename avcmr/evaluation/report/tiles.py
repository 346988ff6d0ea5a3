"""Clips as tiles of a report: a picture or a waveform, with its name."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from avcmr.evaluation.examples import Example, Examples
from avcmr.modality import Find
from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.previews import thumbnail, waveform_peaks

_THUMBNAIL = 200
"""Longer side of a tile's picture in pixels, enough for high-density displays."""

HEIGHT = 90
"""Height of a waveform in SVG units; its width is ``PEAKS``."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One clip in one modality.

    Attributes:
        id: of the clip.
        label: name of its class.
        kind: whether its picture or its sound is shown.
        content: a data URI of the picture, or the waveform as an SVG path; empty if the clip's
            file cannot be read.
    """

    id: str
    label: str
    kind: Find
    content: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A query and its first results, each with whether it is of the query's class."""

    query: Tile
    average_precision: float
    results: tuple[tuple[Tile, bool], ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """The best and worst queries of one direction of one run."""

    best: tuple[Answer, ...]
    worst: tuple[Answer, ...]


class Tiles:
    """Tiles of test clips; each is decoded once."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._tile = cache(self._make)

    def answers(self, examples: Examples, *, find: Find) -> Answers:
        """The examples of one direction as tiles; ``find`` is what its results are shown as."""
        best, worst = (
            tuple(self._answer(example, find) for example in group)
            for group in (examples.best, examples.worst)
        )
        return Answers(best, worst)

    def _answer(self, example: Example, find: Find) -> Answer:
        query = self._tile(example.query, "sound" if find == "picture" else "picture")
        tiles = [self._tile(row, find) for row in example.results]
        results = tuple((tile, tile.label == query.label) for tile in tiles)
        return Answer(query, example.average_precision, results)

    def _make(self, row: int, kind: Find) -> Tile:
        clip = self._clips[row]
        try:
            content = _picture(clip) if kind == "picture" else _sound(clip)
        except ClipError:
            content = ""
        return Tile(clip.id, clip.label, kind, content)


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
