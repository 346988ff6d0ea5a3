"""What the page is told, as JSON."""

from math import isnan
from typing import Self

from pydantic import BaseModel

from avcmr.modality import Find
from avcmr.retrieval.collection import Collection
from avcmr.retrieval.retriever import Hit
from preprocessing.clips import NO_FILE
from preprocessing.media import Kind


class Group(BaseModel):
    """A class or a split, and how many clips it has."""

    name: str
    clips: int


class About(BaseModel):
    """The collection, and what can be done with it."""

    name: str
    clips: int
    classes: list[Group]
    splits: list[Group]
    warnings: list[str]
    no_uploads: str | None
    """Why files cannot be searched with; None where they can."""
    max_bytes: int
    report: bool


class Item(BaseModel):
    """A clip; its media and previews are found by ``at``, as in ``/media/AT``."""

    at: str
    id: str
    label: str
    split: str
    start: float | None
    end: float | None
    media: bool

    @classmethod
    def of(cls, collection: Collection, row: int, *, at: str) -> Self:
        """The clip in a row of the collection."""
        start, end = float(collection.starts[row]), float(collection.ends[row])
        return cls(
            at=at,
            id=collection.ids[row],
            label=collection.labels[row],
            split=collection.splits[row],
            start=None if isnan(start) else start,
            end=None if isnan(end) else end,
            media=collection.paths[row] != NO_FILE,
        )


class Page(BaseModel):
    """Some of the clips that fit a filter."""

    total: int
    items: list[Item]


class Found(BaseModel):
    """A clip that was found; right is None where its class or the query's is not known."""

    rank: int
    score: float
    right: bool | None
    item: Item

    @classmethod
    def of(cls, hit: Hit, item: Item, wanted: str | None) -> Self:
        """A hit for a query of the class ``wanted``, where that is known."""
        right = hit.label == wanted if wanted and hit.label else None
        return cls(rank=hit.rank, score=hit.score, right=right, item=item)


class Results(BaseModel):
    """What a search found; the query is None where it was uploaded."""

    find: Find
    query: Item | None
    hits: list[Found]


class Uploaded(BaseModel):
    """A query that was uploaded, and what it can find."""

    query: str
    kind: Kind
    finds: list[Find]


class Map(BaseModel):
    """Where clips lie, by modality; empty while it is being made."""

    ready: bool
    items: list[Item] = []
    audio: list[tuple[float, float]] = []
    visual: list[tuple[float, float]] = []
