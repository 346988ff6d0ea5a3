"""Lists the clips of a folder, local or in a bucket, that holds one folder per class."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from preprocessing.clips import Clip, refuse_duplicate_ids
from preprocessing.errors import NotFoundError, SetupError, UsageError
from preprocessing.remote import MediaPath, is_folder

MEDIA_SUFFIXES = frozenset(
    [
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".f4v",
        ".flv",
        ".m2t",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogg",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)


_SYSTEM_FOLDERS = frozenset(
    [
        "$RECYCLE.BIN",
        "System Volume Information",
        "__MACOSX",
        "@Recycle",
        "@eaDir",
        "#recycle",
        "#snapshot",
        "lost+found",
    ]
)
"""What systems put beside files: copies, thumbnails, what was deleted."""


@dataclass(frozen=True, slots=True)
class FolderScan:
    """The clips of a folder, and what was passed over.

    Attributes:
        clips: sorted by path.
        passed_over: suffix → how many files that are no videos; hidden files are not counted.
        links: how many symbolic links lead out of the folder and were not followed.
    """

    clips: tuple[Clip, ...]
    passed_over: Mapping[str, int]
    links: int = 0

    def notes(self) -> list[str]:
        """What the user should know, a line each."""
        notes = []
        if self.links:
            notes.append(
                f"{self.links:,} symbolic links lead out of the folder and are left out; "
                "--follow-links takes them"
            )
        if self.passed_over:
            common = sorted(self.passed_over.items(), key=lambda item: -item[1])
            listed = ", ".join(f"{suffix or 'no suffix'} {count:,}" for suffix, count in common[:5])
            more = " …" if len(common) > 5 else ""
            notes.append(f"passed over {sum(self.passed_over.values()):,} files: {listed}{more}")
        return notes


def scan_folder(root: MediaPath, *, follow_links: bool = False) -> FolderScan:
    """Clips ``root/CLASS/**/clip.mp4``.

    The id is the path relative to ``root`` without suffix, since two classes may hold files of
    one name. Hidden files and folders, those of the system, and files without a video suffix are
    passed over; so are symbolic links that lead out of ``root``, unless ``follow_links``.

    Raises:
        AvcmrError: no such folder, no videos in it, videos outside a class folder, or two files
            that would share an id.
    """
    if isinstance(root, Path) and root.is_file():
        raise UsageError(f"{root}: a file, not a folder; a CSV file of clips goes with --manifest")
    if not is_folder(root):
        raise NotFoundError(
            f"{root}: no such folder; --videos wants a folder with one folder a class"
        )
    inside = [path for path in _sorted(root.iterdir()) if not is_hidden(path, root)]
    loose = [path for path in inside if is_video(path)]
    if loose:
        raise SetupError(
            f"{loose[0]}: a video outside any class folder ({len(loose)} in all); "
            f"move it to {root}/CLASS/, or list the clips in a CSV file and use --manifest"
        )
    links = _Links(root, follow=follow_links)
    clips = []
    passed_over: Counter[str] = Counter()
    for place in inside:  # class folders, and loose files that are no videos
        for path in _sorted(_files_below(place, links)):
            if is_video(path):
                clips.append(Clip(id=_id_within(root, path), path=path, label=place.name))
            elif path.is_file():
                passed_over[path.suffix.lower()] += 1
    scan = FolderScan(tuple(clips), passed_over, links.left_out)
    if not clips:
        notes = "".join(f"; {note}" for note in scan.notes())
        raise SetupError(
            f"{root}: no videos found; expected {root}/CLASS/clip.mp4 "
            f"(suffixes: {' '.join(sorted(MEDIA_SUFFIXES))}){notes}"
        )
    refuse_duplicate_ids(clips, root)
    return scan


def is_video(path: MediaPath) -> bool:
    """Whether this is a file with the suffix of a video, and not hidden."""
    return path.suffix.lower() in MEDIA_SUFFIXES and not _hides(path.name) and path.is_file()


def videos_below(root: Path) -> list[Path]:
    """All videos of a folder and its folders, sorted; what is hidden is left out."""
    return sorted(path for path in root.rglob("*") if is_video(path) and not is_hidden(path, root))


def is_hidden(path: MediaPath, root: MediaPath) -> bool:
    """Whether the file or one of its folders below ``root`` is hidden, or the system's."""
    return any(map(_hides, path.parts[len(root.parts) :]))


def _hides(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS


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
    """All files below a folder that are neither hidden nor in hidden folders, or the system's.

    ``above``: the folders that this one is in.
    """
    if _hides(place.name):
        return
    if not isinstance(place, Path) and place.is_dir():
        yield from (path for path in place.rglob("*") if not is_hidden(path, place))
    elif isinstance(place, Path) and place.is_symlink() and not links.follows(place):
        return
    elif not isinstance(place, Path) or not place.is_dir():
        yield place
    elif (folder := place.resolve()) not in above:  # else the links form a cycle
        for inside in place.iterdir():
            yield from _files_below(inside, links, above | {folder})
