"""Equal files, found by their bytes."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from preprocessing.clips import Clip
from preprocessing.remote import MediaPath

Progress = Callable[[int, int], None]
"""Takes how much is done, and the total."""

_File = tuple[int, int]
"""Device and inode."""


def contents(clips: Sequence[Clip], progress: Progress | None = None) -> dict[str, str]:
    """Clip id → a name for its file's bytes, the same for clips of equal files.

    Only files of equal size are read and hashed (sha256). A file that is empty, cannot be read or
    is on another machine is equal to no other.
    """
    file_of: dict[Path, _File] = {}
    sizes: dict[int, set[_File]] = defaultdict(set)
    path_of: dict[_File, Path] = {}
    for path in {clip.path for clip in clips if isinstance(clip.path, Path)}:
        try:
            status = path.stat()
        except OSError:
            continue
        file_of[path] = status.st_dev, status.st_ino
        path_of.setdefault(file_of[path], path)
        if status.st_size:
            sizes[status.st_size].add(file_of[path])
    alike = [file for files in sizes.values() if len(files) > 1 for file in files]
    name_of: dict[_File, str] = {}
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(_sha256, [path_of[file] for file in alike])
        for done, (file, sha256) in enumerate(zip(alike, hashes, strict=True), start=1):
            if sha256:
                name_of[file] = sha256
            if progress:
                progress(done, len(alike))

    def name(path: MediaPath) -> str:
        file = file_of.get(path) if isinstance(path, Path) else None
        return str(path) if file is None else name_of.get(file, f"{file[0]}:{file[1]}")

    return {clip.id: name(clip.path) for clip in clips}


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
