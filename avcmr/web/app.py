"""The server: the page, searches, media and previews of the clips, uploads, the map, the report.

No path in a request reaches the disk: clips are addressed by row or id, and the files of the page
are read when the server starts.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from avcmr.modality import Find
from avcmr.retrieval.query import Decoding
from avcmr.retrieval.retriever import Retriever
from avcmr.web import schemas, uploads
from avcmr.web.media import ClipMedia, without_path
from avcmr.web.projection import Projection, load_projection
from avcmr.web.query_cache import QueryCache
from avcmr.web.security import REPORT_POLICY, SecurityMiddleware
from preprocessing.errors import AvcmrError, ClipError, NotFoundError, SetupError, UsageError
from preprocessing.media.outcome import try_file

MAX_WAITING = 8
"""Uploads that may wait for the networks, which process one at a time."""

_MAX_TOP = 200
"""Most clips in one answer."""

_STATUS_OF = {UsageError: 400, NotFoundError: 404, SetupError: 503}
"""HTTP status of each kind of error."""

_Text = Annotated[str | None, Query(max_length=1000)]


def create_app(
    retriever: Retriever,
    *,
    name: str = "avcmr",
    report: Path | None = None,
    map_file: Path | None = None,
    decoding: Decoding = try_file,
    hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """The web application of a retriever.

    Without ``map_file`` the map of the collection is recomputed at every start. ``decoding`` is the
    retriever's. Host headers other than ``hosts`` are refused, against DNS rebinding.
    """
    server = _Server(retriever, name, report, map_file, decoding)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=server.lifespan)
    app.include_router(server.router())
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityMiddleware)  # the last one added runs first
    for kind, status in _STATUS_OF.items():
        app.add_exception_handler(kind, partial(_avcmr_error, status))
    app.add_exception_handler(ClipError, _clip_error)
    return app


class _Server:
    """The state of the server, and its routes."""

    def __init__(
        self,
        retriever: Retriever,
        name: str,
        report: Path | None,
        map_file: Path | None,
        decoding: Decoding,
    ) -> None:
        self._retriever, self._collection = retriever, retriever.collection
        self._name, self._report_file, self._map_file = name, report, map_file
        self._queries = QueryCache(retriever, decoding)
        self._media = ClipMedia(retriever.collection)
        self._page = _page_files()
        self._interleaved = _interleaved(retriever.collection.labels)
        self._networks = ThreadPoolExecutor(1, "networks")
        self._waiting = 0
        self._projection: Future[Projection] | None = None
        self._no_uploads: str | None = None

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        try:
            await asyncio.to_thread(self._retriever.warm_up)
        except AvcmrError as error:
            self._no_uploads = str(error)
        with tempfile.TemporaryDirectory(prefix="avcmr-uploads-") as folder:
            self._folder = Path(folder)
            yield
            self._networks.shutdown(wait=False, cancel_futures=True)
            self._media.close()

    def router(self) -> APIRouter:
        router = APIRouter()
        endpoints: dict[str, Callable[..., Any]] = {
            "/": self.page,
            "/page/{file}": self.page,
            "/api/about": self.about,
            "/api/clips": self.clips,
            "/api/search": self.search,
            "/api/map": self.map,
            "/report": self.report,
        }
        for path, endpoint in endpoints.items():
            router.add_api_route(path, endpoint, methods=["GET"])
        router.add_api_route("/api/queries", self.upload, methods=["POST"])
        router.include_router(self._media.router())
        return router

    async def page(self, file: str = "index.html") -> Response:
        if file not in self._page:
            raise HTTPException(404, f"no such file: {file}")
        content, kind = self._page[file]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def about(self) -> schemas.CollectionInfo:
        collection = self._collection
        classes, splits = Counter(collection.labels), Counter(collection.splits)
        return schemas.CollectionInfo(
            name=self._name,
            clips=len(collection),
            classes=[schemas.Group(name=one, clips=classes[one]) for one in sorted(classes)],
            splits=[schemas.Group(name=one, clips=splits[one]) for one in sorted(splits)],
            warnings=list(self._retriever.warnings),
            no_uploads=self._no_uploads,
            max_bytes=uploads.MAX_BYTES,
            report=self._report_file is not None and self._report_file.is_file(),
        )

    def clips(
        self,
        text: _Text = None,
        label: _Text = None,
        split: _Text = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MAX_TOP)] = 48,
    ) -> schemas.ClipPage:
        collection, wanted = self._collection, (text or "").casefold()
        rows = [
            row
            for row in self._interleaved
            if wanted in collection.ids[row].casefold()
            and label in (None, collection.labels[row])
            and split in (None, collection.splits[row])
        ]
        shown = rows[offset : offset + limit]
        return schemas.ClipPage(total=len(rows), items=[self._item(row) for row in shown])

    def search(
        self,
        id: _Text = None,  # noqa: A002
        query: _Text = None,
        find: Find = "picture",
        top: Annotated[int, Query(ge=1, le=_MAX_TOP)] = 12,
        label: _Text = None,
        split: _Text = None,
    ) -> schemas.SearchResults:
        retriever = self._retriever
        if (id is None) == (query is None):
            raise UsageError("a search needs either an id or an uploaded query")
        item = None
        if id is not None:
            item = self._item(retriever.row(id))
            hits = retriever.search(id=id, find=find, top=top, label=label, split=split)
        else:
            uploaded = self._queries.get(query or "")
            if uploaded is None or find not in uploaded.embeddings:
                raise NotFoundError("this query has expired; upload it again")
            hits = retriever.search_embedding(
                uploaded.embeddings[find], find=find, top=top, label=label, split=split
            )
        items = [self._item(retriever.row(hit.id)) for hit in hits]
        wanted = item.label if item else None
        found = [
            schemas.SearchHit.of(hit, one, wanted) for hit, one in zip(hits, items, strict=True)
        ]
        return schemas.SearchResults(find=find, query=item, hits=found)

    async def upload(self, request: Request) -> schemas.UploadedQuery:
        uploads.require_acceptable(request)
        if self._no_uploads is not None:
            raise SetupError(self._no_uploads)
        if self._waiting >= MAX_WAITING:
            raise HTTPException(503, "too many uploads at once; try again", {"Retry-After": "5"})
        self._waiting += 1
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder) as file:
                path = Path(file.name)
                token = await uploads.receive(request, path)
                loop = asyncio.get_running_loop()
                query = await loop.run_in_executor(self._networks, self._queries.add, token, path)
        except ClipError as error:
            raise without_path(error, path) from None
        finally:
            self._waiting -= 1
        return schemas.UploadedQuery(query=token, kind=query.kind, finds=sorted(query.embeddings))

    async def map(self) -> schemas.EmbeddingMap:
        if self._projection is None:
            executor = ThreadPoolExecutor(1, "map")
            self._projection = executor.submit(load_projection, self._collection, self._map_file)
            executor.shutdown(wait=False)
        if not self._projection.done():
            return schemas.EmbeddingMap(ready=False)
        return await asyncio.to_thread(self._map_of, self._projection.result())

    def _map_of(self, projection: Projection) -> schemas.EmbeddingMap:
        items = [self._item(row) for row in projection.rows.tolist()]
        return schemas.EmbeddingMap(
            ready=True,
            items=items,
            audio=projection.audio.tolist(),
            visual=projection.visual.tolist(),
        )

    async def report(self) -> Response:
        if self._report_file is None or not self._report_file.is_file():
            raise HTTPException(404, "the run has no report; avcmr evaluate writes it")
        headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-cache"}
        return FileResponse(self._report_file, media_type="text/html", headers=headers)

    def _item(self, row: int) -> schemas.ClipInfo:
        return schemas.ClipInfo.of(self._collection, row, at=self._media.address(row))


def _interleaved(labels: Sequence[str]) -> list[int]:
    """The rows, one clip of each class in turn, so that the first page shows all classes."""
    seen: Counter[str] = Counter()
    turns = []
    for label in labels:
        turns.append(seen[label])
        seen[label] += 1
    return sorted(range(len(labels)), key=turns.__getitem__)


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Name → content and media type of the page's files."""
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    kinds[".svg"] = "image/svg+xml"
    return {
        file.name: (file.read_bytes(), kinds[Path(file.name).suffix])
        for file in (resources.files("avcmr.web") / "page").iterdir()
        if Path(file.name).suffix in kinds
    }


async def _avcmr_error(status: int, _: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status)


async def _clip_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ClipError)
    return JSONResponse({"detail": error.message, "reason": error.reason}, 422)
