"""Download a published file: from a mirror or its own place, going on where it broke off."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from preprocessing.errors import SetupError
from preprocessing.networks.weights.sources import PublishedFile, sha256

MIRROR_VARIABLE = "AVCMR_MIRROR"

TIMEOUT = 5.0
"""Seconds without an answer after which a download is given up."""

ATTEMPTS = 3
"""How often a download that breaks off is taken up again, before that is left to the user."""

CHUNK_BYTES = 1 << 20


def download_urls(source: PublishedFile, mirror: str = "") -> list[str]:
    """Where a file can be had: under the mirror's prefix, then where it was published.

    Args:
        source: the file.
        mirror: the start of a URL, to which the file's name is added; or else $AVCMR_MIRROR.
    """
    prefix = mirror or os.environ.get(MIRROR_VARIABLE, "")
    mirrored = [f"{prefix.rstrip('/')}/{source.file}"] if prefix else []
    return [*mirrored, *([source.url] if source.url else [])]


def answers(url: str, *, timeout: float = TIMEOUT) -> bool:
    """Whether a server has this file, which is not downloaded."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout):
            return True
    except (OSError, HTTPException, ValueError):
        return False


def fetch(source: PublishedFile, url: str, path: Path) -> None:
    """Download aside, check, and rename, so that ``path`` never holds part of a file.

    What has come of a download that broke off is kept in ``path.part``, and the next one asks for
    the rest only.

    Raises:
        SetupError: what comes is not the published file.
        OSError, HTTPException, ValueError: it cannot be downloaded.
    """
    aside = path.with_name(f"{path.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(aside)
        try:
            _receive(url, aside, source.file)
            break
        except (OSError, HTTPException):
            if attempt == ATTEMPTS or _size(aside) <= before:
                raise
    found = sha256(aside)
    if not found.startswith(source.sha256):
        aside.unlink()
        raise SetupError(
            f"{url} is not the published {source.file}: its sha256 should be {source.sha256} and "
            f"is {found}; use another --mirror, or none"
        )
    aside.replace(path)


def _receive(url: str, aside: Path, label: str) -> None:
    """Append to ``aside`` what it still lacks."""
    start = _size(aside)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # there is no more; the hash will tell whether that is all
    with response:
        resumed = getattr(response, "status", None) == HTTPStatus.PARTIAL_CONTENT
        start = start if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with aside.open("ab" if resumed else "wb") as file, _bar(label, start, total) as advance:
            while chunk := response.read(CHUNK_BYTES):
                advance(file.write(chunk))
    if total is not None and _size(aside) < total:
        raise ConnectionError(f"broke off after {_size(aside):,} of {total:,} bytes")


@contextmanager
def _bar(label: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    bar = Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task(label, total=total, completed=start)
        yield lambda count: bar.advance(task, count)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
