"""The server: the page, searches, media and previews of the clips, uploads, the map, the report.

No path of a request reaches the disk: clips are known by their row or id, and the files of the page
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
from avcmr.web import answers, uploads
from avcmr.web.media import ClipMedia, nameless
from avcmr.web.projection import Projection, load_projection
from avcmr.web.queries import Queries
from avcmr.web.security import REPORT_POLICY, Guard
from preprocessing.errors import AvcmrError, ClipError, NotFoundError, SetupError, UsageError
from preprocessing.media.outcome import try_file

MAX_WAITING = 8
"""Uploads that may wait for the networks, which take one after the other."""

MAX_TOP = 200
"""Most clips that one search shows."""

STATUS_OF = {UsageError: 400, NotFoundError: 404, SetupError: 503}
"""HTTP status of each kind of error."""

Text = Annotated[str | None, Query(max_length=1000)]


def create_app(
    retriever: Retriever,
    *,
    name: str = "avcmr",
    report: Path | None = None,
    map_file: Path | None = None,
    decoding: Decoding = try_file,
    hosts: Sequence[str] = ("*",),
) -> FastAPI:
    """The web application around a retriever.

    Args:
        retriever: what is searched.
        name: of the run, for the page's title.
        report: ``index.html`` of the run's report; None where there is none.
        map_file: where to keep the map of the collection; None makes it anew at every start.
        decoding: where to find out what an upload is, as the retriever's own decoding.
        hosts: names under which the server may be asked; others are refused, so that no page of
            another site can pass itself off as this one (DNS rebinding).
    """
    browse = _Browse(retriever, name, report, map_file, decoding)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=browse.lifespan)
    app.include_router(browse.router())
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(Guard)  # the last added is the first asked
    for kind, status in STATUS_OF.items():
        app.add_exception_handler(kind, partial(_avcmr_error, status))
    app.add_exception_handler(ClipError, _clip_error)
    return app


class _Browse:
    """The state of a server, and its answers."""

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
        self._queries = Queries(retriever, decoding)
        self._media = ClipMedia(retriever.collection)
        self._page = _page_files()
        self._mixed = _mixed(retriever.collection.labels)
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
        answer_of: dict[str, Callable[..., Any]] = {
            "/": self.page,
            "/page/{file}": self.page,
            "/api/about": self.about,
            "/api/clips": self.clips,
            "/api/search": self.search,
            "/api/map": self.map,
            "/report": self.report,
        }
        for path, answer in answer_of.items():
            router.add_api_route(path, answer, methods=["GET"])
        router.add_api_route("/api/queries", self.upload, methods=["POST"])
        router.include_router(self._media.router())
        return router

    async def page(self, file: str = "index.html") -> Response:
        if file not in self._page:
            raise HTTPException(404, f"no such file: {file}")
        content, kind = self._page[file]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def about(self) -> answers.About:
        collection = self._collection
        classes, splits = Counter(collection.labels), Counter(collection.splits)
        return answers.About(
            name=self._name,
            clips=len(collection),
            classes=[answers.Group(name=one, clips=classes[one]) for one in sorted(classes)],
            splits=[answers.Group(name=one, clips=splits[one]) for one in sorted(splits)],
            warnings=list(self._retriever.warnings),
            no_uploads=self._no_uploads,
            max_bytes=uploads.MAX_BYTES,
            report=self._report_file is not None and self._report_file.is_file(),
        )

    def clips(
        self,
        text: Text = None,
        label: Text = None,
        split: Text = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_TOP)] = 48,
    ) -> answers.Page:
        collection, wanted = self._collection, (text or "").casefold()
        rows = [
            row
            for row in self._mixed
            if wanted in collection.ids[row].casefold()
            and label in (None, collection.labels[row])
            and split in (None, collection.splits[row])
        ]
        shown = rows[offset : offset + limit]
        return answers.Page(total=len(rows), items=[self._item(row) for row in shown])

    def search(
        self,
        id: Text = None,  # noqa: A002
        query: Text = None,
        find: Find = "picture",
        top: Annotated[int, Query(ge=1, le=MAX_TOP)] = 12,
        label: Text = None,
        split: Text = None,
    ) -> answers.Results:
        retriever = self._retriever
        if (id is None) == (query is None):
            raise HTTPException(400, "a search needs an id or a query that was uploaded")
        asked = None
        if id is not None:
            asked = self._item(retriever.row(id))
            hits = retriever.search(id=id, find=find, top=top, label=label, split=split)
        else:
            uploaded = self._queries.get(query or "")
            if uploaded is None or find not in uploaded.embeddings:
                raise HTTPException(404, "this query is not kept any more; upload it again")
            hits = retriever.search_embedding(
                uploaded.embeddings[find], find=find, top=top, label=label, split=split
            )
        items = [self._item(retriever.row(hit.id)) for hit in hits]
        wanted = asked.label if asked else None
        found = [answers.Found.of(hit, one, wanted) for hit, one in zip(hits, items, strict=True)]
        return answers.Results(find=find, query=asked, hits=found)

    async def upload(self, request: Request) -> answers.Uploaded:
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
            raise nameless(error, path) from None
        finally:
            self._waiting -= 1
        return answers.Uploaded(query=token, kind=query.kind, finds=sorted(query.embeddings))

    async def map(self) -> answers.Map:
        if self._projection is None:
            making = ThreadPoolExecutor(1, "map")
            self._projection = making.submit(load_projection, self._collection, self._map_file)
            making.shutdown(wait=False)
        if not self._projection.done():
            return answers.Map(ready=False)
        return await asyncio.to_thread(self._drawn, self._projection.result())

    def _drawn(self, projection: Projection) -> answers.Map:
        items = [self._item(row) for row in projection.rows.tolist()]
        return answers.Map(
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

    def _item(self, row: int) -> answers.Item:
        return answers.Item.of(self._collection, row, at=self._media.address(row))


def _mixed(labels: Sequence[str]) -> list[int]:
    """The rows with one clip of each class at a time, so that the first show what there is."""
    seen: Counter[str] = Counter()
    turns = []
    for label in labels:
        turns.append(seen[label])
        seen[label] += 1
    return sorted(range(len(labels)), key=turns.__getitem__)


def _page_files() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name, with their types."""
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
