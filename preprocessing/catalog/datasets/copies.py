"""Clips that are one and the same: found by their bytes, and kept out of two splits."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

from preprocessing.clips import Clip, Split
from preprocessing.errors import faults_in

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

AcrossSplits = Literal["refuse", "as-listed", "drop", "keep"]
"""What becomes of clips that are in two splits.

``refuse``: they are an error. ``as-listed``: they stay where one file is listed twice, as AVE's own
split does, and are an error where two files are equal. ``drop``: what is in test is left out of
train and val, and what is in val out of train. ``keep``: they stay.
"""

_RANK: dict[Split, int] = {"test": 0, "val": 1, "train": 2, "": 3}
"""Of clips in two splits, the one of lower rank stays."""

_File = tuple[int, int]
"""Device and inode."""


def contents(clips: Sequence[Clip], progress: Progress | None = None) -> dict[str, str]:
    """Clip id → a name for its file's bytes: two clips have one name if their files are equal.

    Only files of equal size are read and hashed (sha256). A file that is empty or cannot be read
    is equal to no other.
    """
    file_of: dict[Path, _File] = {}
    sizes: dict[int, set[_File]] = defaultdict(set)
    path_of: dict[_File, Path] = {}
    for path in {clip.file for clip in clips}:
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

    def name(path: Path) -> str:
        file = file_of.get(path)
        return str(path) if file is None else name_of.get(file, f"{file[0]}:{file[1]}")

    return {clip.id: name(clip.file) for clip in clips}


def find_copies(clips: Iterable[Clip], content: Mapping[str, str]) -> list[tuple[Clip, ...]]:
    """Clips that show the same: of equal files, with cuts that overlap. Two or more each.

    Args:
        clips: of any splits.
        content: see :func:`contents`.
    """
    of_content: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_content[content[clip.id]].append(clip)
    copies = []
    for same in of_content.values():
        groups: list[list[Clip]] = []
        until = 0.0
        for clip in sorted(same, key=lambda clip: clip.start or 0.0):
            if not groups or (clip.start or 0.0) >= until:
                groups.append([])
            groups[-1].append(clip)
            until = max(until, float("inf") if clip.end is None else clip.end)
        copies += [tuple(group) for group in groups if len(group) > 1]
    return copies


def split_by_content(
    clips: Sequence[Clip],
    content: Mapping[str, str],
    divide: Callable[[Sequence[str], Sequence[str]], Sequence[Split]],
) -> list[Clip]:
    """The clips with splits of our own making, in which clips of equal files are never parted.

    Args:
        clips: without splits, or with ones that do not count.
        content: see :func:`contents`.
        divide: ids and labels of N clips → their splits. It is given one clip of each file.
    """
    first: dict[str, Clip] = {}
    for clip in clips:
        first.setdefault(content[clip.id], clip)
    ids, labels = [clip.id for clip in first.values()], [clip.label for clip in first.values()]
    split_of = dict(zip(first, divide(ids, labels), strict=True))
    return [replace(clip, split=split_of[content[clip.id]]) for clip in clips]


def settle_splits(
    clips: Sequence[Clip], copies: Sequence[tuple[Clip, ...]], across: AcrossSplits
) -> tuple[list[Clip], Counter[tuple[Split, Split]]]:
    """Deal with copies that are in two splits.

    Returns:
        The clips that stay, and how many of train, say, are in test too: (train, test) → 8.

    Raises:
        SetupError: there are such copies, and ``across`` does not have them (the first are named).
    """
    faults, dropped = [], set()
    parted: Counter[tuple[Split, Split]] = Counter()
    for group in copies:
        best = min(group, key=lambda clip: _RANK[clip.split])
        for clip in group:
            if clip.split == best.split:
                continue
            parted[clip.split, best.split] += 1
            dropped.add(clip.id)
            if across == "refuse" or (across == "as-listed" and clip.path != best.path):
                faults.append(f"{clip.id} ({clip.split}) is the same as {best.id} ({best.split})")
    if faults:
        raise faults_in(
            "clips in two splits",
            faults,
            "--across-splits drop takes them for testing alone, --across-splits keep leaves them",
        )
    return [clip for clip in clips if across != "drop" or clip.id not in dropped], parted


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
