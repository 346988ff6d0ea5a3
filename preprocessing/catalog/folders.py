"""Lists the clips of a folder, local or in a bucket, that holds one folder per class."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from preprocessing.clips import Clip, refuse_duplicate_ids
from preprocessing.errors import NotFoundError, SetupError
from preprocessing.remote import MediaPath, is_folder

_logger = logging.getLogger(__name__)

MEDIA_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
    ]
)


def scan_folder(root: MediaPath, *, follow_links: bool = False) -> list[Clip]:
    """Clips ``root/CLASS/**/clip.mp4``.

    The id is the path relative to ``root`` without suffix, since two classes may hold files of
    one name. Hidden files and folders and files without a video suffix are skipped; so are, with
    a warning, symbolic links that lead out of ``root``, unless ``follow_links``.

    Raises:
        AvcmrError: no such folder, no videos in it, videos outside a class folder, or two files
            that would share an id.
    """
    if not is_folder(root):
        raise NotFoundError(
            f"{root}: no such folder; --videos wants a folder with one folder a class"
        )
    inside = _sorted(root.iterdir())
    loose = [path for path in inside if is_video(path)]
    if loose:
        raise SetupError(
            f"{loose[0]}: a video outside any class folder ({len(loose)} in all); "
            f"move it to {root}/CLASS/, or list the clips in a CSV file and use --manifest"
        )
    links = _Links(root, follow=follow_links)
    clips = [
        Clip(id=_id_within(root, path), path=path, label=folder.name)
        for folder in inside
        if folder.is_dir() and not folder.name.startswith(".")
        for path in _sorted(_files_below(folder, links))
        if is_video(path)
    ]
    if links.left_out:
        _logger.warning(
            "%s: %d symbolic links lead out of the folder and are left out; "
            "--follow-links takes them",
            root,
            links.left_out,
        )
    if not clips:
        raise SetupError(
            f"{root}: no videos found; expected {root}/CLASS/clip.mp4 "
            f"(suffixes: {' '.join(sorted(MEDIA_SUFFIXES))})"
        )
    refuse_duplicate_ids(clips, root)
    return clips


def is_video(path: MediaPath) -> bool:
    """Whether this is a file with the suffix of a video, and not hidden."""
    return (
        path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def videos_below(root: Path) -> list[Path]:
    """All videos of a folder and its folders, sorted; what is hidden is left out."""
    return sorted(path for path in root.rglob("*") if is_video(path) and not _is_hidden(path, root))


def _is_hidden(path: MediaPath, root: MediaPath) -> bool:
    """Whether the file or one of its folders below ``root`` is hidden."""
    return any(part.startswith(".") for part in path.parts[len(root.parts) :])


def _id_within(root: MediaPath, path: MediaPath) -> str:
    return PurePosixPath(*path.parts[len(root.parts) :]).with_suffix("").as_posix()


def _sorted(paths: Iterable[MediaPath]) -> list[MediaPath]:
    return sorted(paths, key=lambda path: tuple(path.parts))


@dataclass
class _Links:
    """Which symbolic links to follow, and how many were not followed."""

    root: MediaPath
    follow: bool
    left_out: int = 0

    def follows(self, link: Path) -> bool:
        inside = link.resolve().is_relative_to(str(self.root.resolve()))
        if inside or self.follow or not link.exists():
            return True
        self.left_out += 1
        return False


def _files_below(
    place: MediaPath, links: _Links, above: frozenset[Path] = frozenset()
) -> Iterator[MediaPath]:
    """All files below a folder that are neither hidden nor in hidden folders.

    ``above``: the folders that this one is in.
    """
    if place.name.startswith("."):
        return
    if not isinstance(place, Path):
        yield from (path for path in place.rglob("*") if not _is_hidden(path, place))
    elif place.is_symlink() and not links.follows(place):
        return
    elif not place.is_dir():
        yield place
    elif (folder := place.resolve()) not in above:  # else the links form a cycle
        for inside in place.iterdir():
            yield from _files_below(inside, links, above | {folder})
