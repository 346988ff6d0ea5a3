"""Queries that were uploaded: what they are, and their embeddings."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from avcmr.modality import Find
from avcmr.retrieval.query import Decoding
from avcmr.retrieval.retriever import Retriever
from preprocessing.errors import ClipError
from preprocessing.media import Kind, media_kind

KEPT = 256
"""Queries that are remembered, so that other filters need no new upload; 128 bytes or so each."""


@dataclass(frozen=True, slots=True)
class Query:
    """An uploaded file.

    Attributes:
        kind: what the file is.
        embeddings: by what they find: (D,) each; a video with sound has two.
    """

    kind: Kind
    embeddings: dict[Find, Tensor]


class Queries:
    """The latest queries, by the sha256 of their files.

    Args:
        retriever: embeds them.
        decoding: where to find out what a file is.
    """

    def __init__(self, retriever: Retriever, decoding: Decoding) -> None:
        self._retriever, self._decoding = retriever, decoding
        self._kept: OrderedDict[str, Query] = OrderedDict()

    def get(self, token: str) -> Query | None:
        """The query of this sha256; None where it is not kept (any more)."""
        return self._kept.get(token)

    def add(self, token: str, path: Path) -> Query:
        """Embed a file, or take the embedding of the same file from before.

        Raises:
            ClipError: the file cannot be used.
            SetupError: the networks that made the collection's features are not to be had.
        """
        query = self._kept.pop(token, None) or self._embedded(path)
        self._kept[token] = query
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return query

    def _embedded(self, path: Path) -> Query:
        kind = self._decoding(path, partial(media_kind, path))
        if isinstance(kind, ClipError):
            raise kind
        if kind == "image":
            return Query(kind, {"sound": self._retriever.embed_image_file(path)})
        if kind == "audio":
            return Query(kind, {"picture": self._retriever.embed_audio_file(path)})
        embeddings: dict[Find, Tensor] = {"sound": self._retriever.embed_video_file(path)}
        try:
            embeddings["picture"] = self._retriever.embed_audio_file(path)
        except ClipError as error:
            if error.reason not in ("no_audio", "too_short"):  # pictures alone will do
                raise
        return Query(kind, embeddings)
