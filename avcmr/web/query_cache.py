"""Uploaded queries and their embeddings."""

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

_CAPACITY = 256
"""Queries kept, so that another filter needs no new upload; some 128 bytes each."""


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """An uploaded file, and its embeddings (D,) by what they find; a video with sound has two."""

    kind: Kind
    embeddings: dict[Find, Tensor]


class QueryCache:
    """The latest queries, by the sha256 of their files."""

    def __init__(self, retriever: Retriever, decoding: Decoding) -> None:
        self._retriever, self._decoding = retriever, decoding
        self._queries: OrderedDict[str, EmbeddedQuery] = OrderedDict()

    def get(self, token: str) -> EmbeddedQuery | None:
        """The query of this sha256; None where it is not in the cache."""
        return self._queries.get(token)

    def add(self, token: str, path: Path) -> EmbeddedQuery:
        """Embed a file, or take its embedding from the cache.

        Raises:
            ClipError: the file is unusable.
            SetupError: the networks that made the features are not available.
        """
        query = self._queries.pop(token, None) or self._embed(path)
        self._queries[token] = query
        while len(self._queries) > _CAPACITY:
            self._queries.popitem(last=False)
        return query

    def _embed(self, path: Path) -> EmbeddedQuery:
        kind = self._decoding(path, partial(media_kind, path))
        if isinstance(kind, ClipError):
            raise kind
        if kind == "image":
            return EmbeddedQuery(kind, {"sound": self._retriever.embed_image_file(path)})
        if kind == "audio":
            return EmbeddedQuery(kind, {"picture": self._retriever.embed_audio_file(path)})
        embeddings: dict[Find, Tensor] = {"sound": self._retriever.embed_video_file(path)}
        try:
            embeddings["picture"] = self._retriever.embed_audio_file(path)
        except ClipError as error:
            if error.reason not in ("no_audio", "too_short"):  # its frames alone will do
                raise
        return EmbeddedQuery(kind, embeddings)
