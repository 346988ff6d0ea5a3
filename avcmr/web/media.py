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

Argument = TypeVar("Argument")
Preview = TypeVar("Preview")

THUMBNAIL = 400
"""Longer side of a thumbnail, in pixels."""

KEPT_PREVIEWS = 2048
"""Clips whose previews are kept in memory; some 15 kB each."""

KEPT_COPIES = 16
"""Remote files whose copies are kept: browsers ask for a file many times, part by part."""

THREADS = 2

A_DAY = {"Cache-Control": "private, max-age=86400"}

Row = Annotated[int, "of a clip in the collection"]


def nameless(error: ClipError, path: MediaPath) -> ClipError:
    """The same error without the path, which is nobody's business but this machine's."""
    return ClipError(error.reason, error.message.replace(f"{path}: ", ""))


class ClipMedia:
    """What there is to see and hear of the clips, each by the collection's fingerprint and its row.

    So whatever a browser has kept is never taken for that of another collection, served at the same
    address before.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection, self._fingerprint = collection, collection.fingerprint()
        self._threads = ThreadPoolExecutor(THREADS, "media")
        self._copy = lru_cache(KEPT_COPIES)(_Copy)
        self._thumbnail = lru_cache(KEPT_PREVIEWS)(
            lambda row: self._preview(row, lambda clip: previews.thumbnail(clip, THUMBNAIL))
        )
        self._peaks = lru_cache(KEPT_PREVIEWS)(
            lambda row: self._preview(row, previews.waveform_peaks)
        )

    def address(self, row: int) -> str:
        """By what a clip's media and previews are asked for, as ``/media/ADDRESS``."""
        return f"{self._fingerprint}/{row}"

    def router(self) -> APIRouter:
        """The addresses that are answered."""
        router = APIRouter()
        clip = "{collection}/{row}"
        router.add_api_route(f"/media/{clip}", self.media, methods=["GET", "HEAD"])
        router.add_api_route(f"/thumbnails/{clip}", self.thumbnail, methods=["GET"])
        router.add_api_route(f"/peaks/{clip}", self.peaks, methods=["GET"])
        return router

    def close(self) -> None:
        """Answer no more, and remove copies."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._copy.cache_clear()

    async def media(self, collection: str, row: Row) -> FileResponse:
        path = self._collection.paths[self._known(collection, row)]
        try:
            copy = await self._in_thread(self._copy, path)
        except ClipError:
            raise HTTPException(404, "the clip's file cannot be fetched") from None
        if path == NO_FILE or not copy.file.is_file():
            raise HTTPException(404, "the clip's file is gone")
        kind = mimetypes.guess_type(copy.file.name)[0] or ""
        if not kind.startswith(("video/", "audio/")):
            kind = "application/octet-stream"
        until_sent = BackgroundTask(lambda _: None, copy)
        return FileResponse(copy.file, media_type=kind, headers=A_DAY, background=until_sent)

    async def thumbnail(self, collection: str, row: Row) -> Response:
        jpeg = await self._in_thread(self._thumbnail, self._known(collection, row))
        return Response(jpeg, media_type="image/jpeg", headers=A_DAY)

    async def peaks(self, collection: str, row: Row) -> Response:
        peaks = await self._in_thread(self._peaks, self._known(collection, row))
        return JSONResponse(peaks, headers=A_DAY)

    def _known(self, collection: str, row: int) -> int:
        if collection != self._fingerprint or not 0 <= row < len(self._collection):
            raise HTTPException(404, f"no clip {collection}/{row}; reload the page")
        return row

    async def _in_thread(
        self, function: Callable[[Argument], Preview], argument: Argument
    ) -> Preview:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, argument)

    def _preview(self, row: int, preview: Callable[[Clip], Preview]) -> Preview:
        clip = self._collection.clip(row)
        named = clip.path
        try:
            copy = self._copy(clip.path)
            named = copy.file
            return preview(replace(clip, path=named))
        except ClipError as error:
            raise nameless(error, named) from None


class _Copy:
    """A file on this machine: itself or, of a remote one, a copy as long as this object is held.

    Raises:
        ClipError: ``missing``, or ``unreachable``.
    """

    def __init__(self, path: MediaPath) -> None:
        with ExitStack() as held:
            self.file: Path = held.enter_context(Fetched([path])).file(path)
            weakref.finalize(self, held.pop_all().close)
