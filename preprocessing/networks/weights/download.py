"""Download a published file from a mirror or its publisher, resuming where it broke off."""

import logging
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from preprocessing.errors import SetupError
from preprocessing.networks.weights.sources import PublishedFile, sha256

MIRROR_VARIABLE = "AVCMR_MIRROR"

Report = Callable[[str], None]
"""Takes a line on how far a download is."""

_TIMEOUT = 5.0
"""Seconds without an answer after which a download is given up."""

_ATTEMPTS = 3
"""How often a download that breaks off is resumed before the error is raised."""

_CHUNK_BYTES = 1 << 20

_SECONDS_BETWEEN_LINES = 5.0

_logger = logging.getLogger(__name__)


def download_urls(source: PublishedFile, mirror: str = "") -> list[str]:
    """Where to download a file: under the mirror's prefix, then where it was published.

    ``mirror`` is the start of a URL, by default $AVCMR_MIRROR.
    """
    prefix = mirror or os.environ.get(MIRROR_VARIABLE, "")
    mirrored = [f"{prefix.rstrip('/')}/{source.file}"] if prefix else []
    return [*mirrored, *([source.url] if source.url else [])]


def answers(url: str, *, timeout: float = _TIMEOUT) -> bool:
    """Whether a server has this file, which is not downloaded."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout):
            return True
    except (OSError, HTTPException, ValueError):
        return False


def fetch(source: PublishedFile, url: str, path: Path, report: Report = _logger.info) -> None:
    """Download aside, check, and rename, so that ``path`` never holds part of a file.

    A download that breaks off is kept in ``path.part``, and the next one requests only the rest.

    Raises:
        SetupError: what was downloaded is not the published file.
        OSError, HTTPException, ValueError: it cannot be downloaded.
    """
    aside = path.with_name(f"{path.name}.part")
    for attempt in range(1, _ATTEMPTS + 1):
        before = _size(aside)
        try:
            _receive(url, aside, report)
            break
        except (OSError, HTTPException):
            if attempt == _ATTEMPTS or _size(aside) <= before:
                raise
    found = sha256(aside)
    if not found.startswith(source.sha256):
        aside.unlink()
        raise SetupError(
            f"{url} is not the published {source.file}: its sha256 should be {source.sha256} and "
            f"is {found}; use another --mirror, or none"
        )
    aside.replace(path)


def _receive(url: str, aside: Path, report: Report) -> None:
    """Append to ``aside`` what is still missing."""
    done = _size(aside)
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # there is no more; the hash shows whether the file is complete
    with response:
        resumed = getattr(response, "status", None) == HTTPStatus.PARTIAL_CONTENT
        done = done if resumed else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        of_total = f" of {total / 1e6:.1f} MB" if total else " MB"
        report(f"downloading {url}: {done / 1e6:.1f}{of_total}")
        reported = time.monotonic()
        with aside.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                done += file.write(chunk)
                if time.monotonic() - reported >= _SECONDS_BETWEEN_LINES:
                    reported = time.monotonic()
                    report(f"downloading {url}: {done / 1e6:.1f}{of_total}")
    if total is not None and done < total:
        raise ConnectionError(f"broke off after {done:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
