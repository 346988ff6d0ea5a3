"""Media and previews of the clips of a collection, over HTTP."""

import asyncio
import mimetypes
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from avcmr.retrieval.collection import Collection
from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import ClipError
from preprocessing.media import previews
from preprocessing.remote import Fetched, MediaPath

_Argument = TypeVar("_Argument")
_Preview = TypeVar("_Preview")

_THUMBNAIL = 400
"""Longer side of a thumbnail, in pixels."""

_CACHED_PREVIEWS = 2048
"""Clips whose previews are kept in memory; some 15 kB each."""

_CACHED_COPIES = 16
"""Remote files whose local copies are kept: browsers fetch a file in many range requests."""

_THREADS = 2

_CACHE_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}

Row = Annotated[int, "of a clip in the collection"]


def without_path(error: ClipError, path: MediaPath) -> ClipError:
    """The same error without the path, which browsers must not learn."""
    return ClipError(error.reason, error.message.replace(f"{path}: ", ""))


class ClipMedia:
    """Media files, thumbnails and waveform peaks of the clips, over HTTP.

    A clip's address is the collection's fingerprint and its row, so that a browser's cache never
    mixes up collections that were served at the same host and port.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection, self._fingerprint = collection, collection.fingerprint()
        self._threads = ThreadPoolExecutor(_THREADS, "media")
        self._copy = lru_cache(_CACHED_COPIES)(_Copy)
        self._thumbnail = lru_cache(_CACHED_PREVIEWS)(
            lambda row: self._preview(row, lambda clip: previews.thumbnail(clip, _THUMBNAIL))
        )
        self._peaks = lru_cache(_CACHED_PREVIEWS)(
            lambda row: self._preview(row, previews.waveform_peaks)
        )

    def address(self, row: int) -> str:
        """The address of a clip's media and previews, as in ``/media/ADDRESS``."""
        return f"{self._fingerprint}/{row}"

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter()
        clip = "{collection}/{row}"
        router.add_api_route(f"/media/{clip}", self.media, methods=["GET", "HEAD"])
        router.add_api_route(f"/thumbnails/{clip}", self.thumbnail, methods=["GET"])
        router.add_api_route(f"/peaks/{clip}", self.peaks, methods=["GET"])
        return router

    def close(self) -> None:
        """Stop the threads, and remove local copies."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._copy.cache_clear()

    async def media(self, collection: str, row: Row) -> FileResponse:
        path = self._collection.paths[self._checked_row(collection, row)]
        try:
            copy = await self._in_thread(self._copy, path)
        except ClipError:
            raise HTTPException(404, "the clip's file cannot be fetched") from None
        if path == NO_FILE or not copy.file.is_file():
            raise HTTPException(404, "the clip's file is missing")
        kind = mimetypes.guess_type(copy.file.name)[0] or ""
        if not kind.startswith(("video/", "audio/")):
            kind = "application/octet-stream"
        until_sent = BackgroundTask(lambda _: None, copy)
        return FileResponse(
            copy.file, media_type=kind, headers=_CACHE_FOR_A_DAY, background=until_sent
        )

    async def thumbnail(self, collection: str, row: Row) -> Response:
        jpeg = await self._in_thread(self._thumbnail, self._checked_row(collection, row))
        return Response(jpeg, media_type="image/jpeg", headers=_CACHE_FOR_A_DAY)

    async def peaks(self, collection: str, row: Row) -> Response:
        peaks = await self._in_thread(self._peaks, self._checked_row(collection, row))
        return JSONResponse(peaks, headers=_CACHE_FOR_A_DAY)

    def _checked_row(self, collection: str, row: int) -> int:
        if collection != self._fingerprint or not 0 <= row < len(self._collection):
            raise HTTPException(404, f"no clip {collection}/{row}; reload the page")
        return row

    async def _in_thread(
        self, function: Callable[[_Argument], _Preview], argument: _Argument
    ) -> _Preview:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, argument)

    def _preview(self, row: int, preview: Callable[[Clip], _Preview]) -> _Preview:
        clip = self._collection.clip(row)
        local = clip.path
        try:
            copy = self._copy(clip.path)
            local = copy.file
            return preview(replace(clip, path=local))
        except ClipError as error:
            raise without_path(error, local) from None


class _Copy:
    """A local file; of a remote one, a copy that lasts as long as this object.

    Raises:
        ClipError: ``missing``, or ``unreachable``.
    """

    def __init__(self, path: MediaPath) -> None:
        with ExitStack() as held:
            self.file: Path = held.enter_context(Fetched([path])).file(path)
            weakref.finalize(self, held.pop_all().close)
