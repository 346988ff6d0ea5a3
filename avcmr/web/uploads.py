"""Receiving an upload into a file, within limits of size and time."""

import asyncio
import hashlib
from pathlib import Path

from fastapi import HTTPException, Request

MAX_BYTES = 50_000_000
"""Largest upload."""

MAX_SECONDS = 60.0
"""Longest that one upload may take to arrive."""


def require_acceptable(request: Request) -> None:
    """Refuse an upload whose ``Content-Length`` is too large, before any of it is read.

    Raises:
        HTTPException: 413.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise _too_large()


async def receive(request: Request, path: Path) -> str:
    """Write the body to ``path``, and return its sha256.

    Raises:
        HTTPException: 413 where it is too large, 408 where it takes too long.
    """
    digest, size = hashlib.sha256(), 0
    try:
        async with asyncio.timeout(MAX_SECONDS):
            with path.open("wb") as file:
                async for part in request.stream():
                    size += len(part)
                    if size > MAX_BYTES:
                        raise _too_large()
                    digest.update(part)
                    file.write(part)
    except TimeoutError:
        raise HTTPException(408, "the upload takes too long; try a smaller file") from None
    return digest.hexdigest()


def _too_large() -> HTTPException:
    return HTTPException(
        413,
        f"files of up to {MAX_BYTES / 1e6:g} MB can be searched with; cut it, or make it smaller",
        headers={"Connection": "close"},
    )
