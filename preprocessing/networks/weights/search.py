"""Where pretrained weights are found; every file is known by its sha256.

Files are kept as published and converted whenever they are read, since renaming tensors costs less
than hashing them. Nothing is unpickled that could run code.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from importlib import metadata
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor

from preprocessing.errors import NotFoundError, SetupError
from preprocessing.networks.weights.download import MIRROR_VARIABLE, Report, download_urls, fetch
from preprocessing.networks.weights.sources import SOURCES, PublishedFile, WeightsName, sha256

_ENVIRONMENT_VARIABLE = "AVCMR_WEIGHTS"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weights:
    """A file on this machine, checked to be what its source published, and what reads it."""

    path: Path
    sha256: str
    read: Callable[[Path], dict[str, Tensor]]

    def tensors(self) -> dict[str, Tensor]:
        """Read the file, on the CPU."""
        return self.read(self.path)


def cache_directory() -> Path:
    """Where downloads are kept: ``~/.cache/avcmr/weights`` on Linux."""
    return user_cache_path("avcmr", appauthor=False) / "weights"


def resolve(
    name: WeightsName,
    directory: Path | None = None,
    *,
    mirror: str = "",
    report: Report = _logger.info,
) -> Weights:
    """Find weights on this machine, or download them into the cache.

    Args:
        name: which weights.
        directory: the user's own folder, searched first.
        mirror: the start of a URL to download from; by default $AVCMR_MIRROR.
        report: takes lines on the progress of a download.

    Raises:
        SetupError: they are not available, or a file is not the published one.
    """
    return find(name, directory) or _download(name, cache_directory(), mirror, report)


def find(name: WeightsName, directory: Path | None = None) -> Weights | None:
    """Find weights on this machine; None if they are not there.

    Searched in this order: ``directory``, ``$AVCMR_WEIGHTS``, the cache, installed packages.

    Raises:
        AvcmrError: a folder that the user named does not exist, or holds a file of the right
            name that is not the published one.
    """
    for folder in _user_folders(directory):
        if found := _in_folder(name, folder):
            return found
    elsewhere = [(cache_directory() / source.file, source) for source in SOURCES[name]]
    elsewhere += [(path, source) for source in SOURCES[name] for path in _packaged(source)]
    for path, source in elsewhere:
        try:
            if path.is_file():
                return _checked(path, source)
        except SetupError as error:
            _logger.warning("%s; it is ignored", error)
    return None


def to_folder(
    name: WeightsName, folder: Path, *, mirror: str = "", report: Report = _logger.info
) -> Weights:
    """Put weights into this folder, copied from elsewhere on this machine or downloaded.

    Raises:
        SetupError: they are not available, or a file is not the published one.
    """
    if folder.is_dir() and (there := _in_folder(name, folder)):
        return there
    found = find(name)
    if found is None:
        return _download(name, folder, mirror, report)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{found.path.name}.part"
    shutil.copyfile(found.path, aside)
    return replace(found, path=aside.replace(folder / found.path.name))


def _user_folders(directory: Path | None) -> Iterator[Path]:
    given = {
        "--weights": directory,
        f"${_ENVIRONMENT_VARIABLE}": os.environ.get(_ENVIRONMENT_VARIABLE),
    }
    for origin, folder in given.items():
        if folder:
            if not Path(folder).is_dir():
                raise NotFoundError(
                    f"{origin}: {folder} is not a folder; name an existing one, or none"
                )
            yield Path(folder)


def _in_folder(name: WeightsName, folder: Path) -> Weights | None:
    """The published file in this folder, if it is there."""
    for source in SOURCES[name]:
        if (folder / source.file).is_file():
            return _checked(folder / source.file, source)
    return None


def _packaged(source: PublishedFile) -> list[Path]:
    """The source's file in its package, found without importing the package."""
    try:
        files = metadata.files(source.package) if source.package else None
    except metadata.PackageNotFoundError:
        files = None
    return [Path(str(file.locate())) for file in files or () if file.name == source.file]


def _checked(path: Path, source: PublishedFile) -> Weights:
    """The file, whose hash must be the published one."""
    found = sha256(path)
    if not found.startswith(source.sha256):
        raise SetupError(
            f"{path} is not the published {source.file}, or damaged: its sha256 should be "
            f"{source.sha256} and is {found}; remove it, or fetch it again from {source.origin}"
        )
    return Weights(path, found, source.read)


def _download(name: WeightsName, folder: Path, mirror: str, report: Report) -> Weights:
    """Fetch a published file into the folder, from the first URL that has it."""
    sources = [source for source in SOURCES[name] if source.url]
    tried: dict[str, Exception] = {}
    for source in sources:
        path = folder / source.file
        for url in download_urls(source, mirror):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{path}.lock"):  # workers that start together download once
                    if not (path.is_file() and sha256(path).startswith(source.sha256)):
                        fetch(source, url, path, report)
                    return _checked(path, source)
            except (OSError, HTTPException, ValueError, SetupError) as error:
                tried[url] = error
    raise _unavailable(name, sources[0], tried)


def _unavailable(
    name: WeightsName, source: PublishedFile, tried: dict[str, Exception]
) -> SetupError:
    """Names what was tried, and what the user can do."""
    package = next((source.package for source in SOURCES[name] if source.package), "")
    places = ["--weights", f"${_ENVIRONMENT_VARIABLE}", str(cache_directory())]
    places += [f"the package {package}"] if package else []
    places += [f"{url} ({error})" for url, error in tried.items()]
    others = f", or name a mirror: ${MIRROR_VARIABLE}"
    if package:
        others += f", or install the Python package {package}, which carries them"
    if name == "vggish":
        others += ", or use --untrained-audio for a trial with random weights"
    return SetupError(
        f"no weights for {name}: looked in {', '.join(places)}; fetch {source.url} (sha256 "
        f"{source.sha256}) and put it into {cache_directory()} or a folder of yours, named by "
        f"--weights or ${_ENVIRONMENT_VARIABLE}{others}"
    )
