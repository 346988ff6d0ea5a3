"""The JSON answers of the server."""

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


class CollectionInfo(BaseModel):
    """The collection, and what the page can do with it."""

    name: str
    clips: int
    classes: list[Group]
    splits: list[Group]
    warnings: list[str]
    no_uploads: str | None
    """Why files cannot be uploaded as queries; None where they can."""
    max_bytes: int
    report: bool


class ClipInfo(BaseModel):
    """A clip; ``at`` is its address, as in ``/media/AT``, ``/thumbnails/AT`` and ``/peaks/AT``."""

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
        clip = collection.clip(row)
        return cls(
            at=at,
            id=clip.id,
            label=clip.label,
            split=collection.splits[row],
            start=clip.start,
            end=clip.end,
            media=clip.path != NO_FILE,
        )


class ClipPage(BaseModel):
    """A page of the clips that match a filter."""

    total: int
    items: list[ClipInfo]


class SearchHit(BaseModel):
    """A hit; ``same_class`` is None where its class or that of the query is unknown."""

    rank: int
    score: float
    same_class: bool | None
    item: ClipInfo

    @classmethod
    def of(cls, hit: Hit, item: ClipInfo, label: str | None) -> Self:
        """A hit of a query of class ``label``, None where that is unknown."""
        same_class = hit.label == label if label and hit.label else None
        return cls(rank=hit.rank, score=hit.score, same_class=same_class, item=item)


class SearchResults(BaseModel):
    """The hits of a search; ``query`` is None for an uploaded file."""

    find: Find
    query: ClipInfo | None
    hits: list[SearchHit]


class UploadedQuery(BaseModel):
    """An uploaded query: its token, its kind of media, and what it can find."""

    query: str
    kind: Kind
    finds: list[Find]


class EmbeddingMap(BaseModel):
    """Positions of the clips, by modality; empty while they are being computed."""

    ready: bool
    items: list[ClipInfo] = []
    audio: list[tuple[float, float]] = []
    visual: list[tuple[float, float]] = []
