"""Which clips there are: a folder per class, or a CSV manifest; and how they are divided."""

import csv
import difflib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np

from preprocessing.errors import SetupError, faults_in
from preprocessing.remote import MediaPath, is_folder, media_path

logger = logging.getLogger(__name__)

Split = Literal["train", "val", "test", ""]
SPLITS: tuple[Split, ...] = tuple(split for split in get_args(Split) if split)
"""Those that have a name; a clip may be in none."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a manifest.

    Attributes:
        id: unique in the manifest; the path relative to the root without suffix, or the data
            set's own id.
        path: the media file, on this machine or elsewhere.
        label: name of the class.
        split: ``train``, ``val``, ``test``, or empty where none is given.
        start: first second of the clip within the file; None is the file's beginning.
        end: last second; None is the file's end.
        event_start: second of the clip, counted from its start, at which what its label names
            begins; None is the clip's beginning.
        event_end: at which it ends; None is the clip's end.
        source: what the clip was cut from, where the file does not tell; see :attr:`origin`.
    """

    id: str
    path: MediaPath
    label: str
    split: Split = ""
    start: float | None = None
    end: float | None = None
    event_start: float | None = None
    event_end: float | None = None
    source: str = ""

    @property
    def origin(self) -> str:
        """What its cuts must not be divided: the source if one is named, or else the file."""
        return self.source or str(self.path)

    @property
    def file(self) -> Path:
        """The media file, for what decodes it.

        Raises:
            ValueError: it is elsewhere, and has to be fetched first.
        """
        if not isinstance(self.path, Path):
            raise ValueError(f"{self.path} has not been fetched")
        return self.path


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
    """Clips of a folder, here or in a bucket, that holds one folder per class:
    ``root/CLASS/**/clip.mp4``.

    The id is the path relative to ``root`` without suffix, since two classes may hold files of
    one name. Hidden files and files without a video suffix are passed over; so are, with a
    warning, symbolic links that lead out of ``root``, unless ``follow_links``.

    Raises:
        SetupError: no such folder, no videos in it, videos outside a class folder, or two files
            that would share an id.
    """
    if not is_folder(root):
        raise SetupError(f"{root}: no such folder; --videos wants a folder with one folder a class")
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
        logger.warning(
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


def read_manifest(path: Path) -> list[Clip]:
    """Clips of a CSV file with the columns ``path,label`` and optionally ``id,split,start,end``,
    ``event_start,event_end`` and ``source``.

    Paths are relative to the CSV file, or URLs. Other columns are passed over, unless one reads as
    if one of these, which is not there, were meant. Without an ``id``
    column the id is the path as written, without suffix, and the cut where there is one.

    Raises:
        SetupError: no such file, columns missing or mistyped, or bad rows (a few are named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _refuse_mistyped(reader.fieldnames or (), path)
            absent = {"path", "label"} - set(reader.fieldnames or ())
            if absent:
                raise SetupError(
                    f"{path}: no column {' and '.join(sorted(absent))}; "
                    "the first line must name the columns: path,label[,id,split,start,end]"
                )
            rows = list(reader)
    except FileNotFoundError:
        raise SetupError(f"{path}: no such manifest file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path}: not a UTF-8 CSV file ({error})") from None

    clips, faults = [], []
    for number, row in enumerate(rows, start=2):  # line 1 holds the column names
        try:
            clips.append(_clip_of_row(row, path.parent))
        except (ValueError, SetupError) as error:
            faults.append(f"line {number}: {error}")
    if faults:
        raise faults_in(path, faults)
    if not clips:
        raise SetupError(f"{path}: no rows below the column names; add one line per clip")
    refuse_duplicate_ids(clips, path)
    return clips


def write_manifest(path: Path, clips: Sequence[Clip]) -> None:
    """Write the CSV file that :func:`read_manifest` reads, as a whole or not at all.

    Paths inside the CSV file's folder are written relative to it, so that both can be moved.

    Raises:
        SetupError: a clip's path is no UTF-8.
    """
    folder = path.parent.absolute()
    rows = []
    for clip in clips:
        media = clip.path.absolute()
        if isinstance(media, Path) and media.is_relative_to(folder):
            media = media.relative_to(folder)
        try:
            str(media).encode()
        except UnicodeEncodeError:
            raise SetupError(f"{str(media)!r}: a name that is not UTF-8; rename it") from None
        rows.append(asdict(clip) | {"path": media})
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    with aside.open("w", encoding="utf-8", newline="") as file:
        columns = [column.name for column in fields(Clip)]
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    aside.replace(path)


def stratified_split(
    ids: Sequence[str],
    labels: Sequence[str],
    *,
    origins: Sequence[str] | None = None,
    val: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> list[Split]:
    """Assign every clip to train, val or test, class by class, in the order given.

    Depends on the set of (id, label, origin) and the seed alone, not on the order of the clips. A
    class of three or more clips has at least one in each part; of two, one to train and one to
    test. A fraction of 0 leaves that part empty. Clips of one origin (``Clip.origin``) go together,
    and count as one, of the class of the first by id; without origins each is one of its own.
    """
    if origins is not None:
        first: dict[str, tuple[str, str]] = {}
        for clip_id, label, origin in sorted(zip(ids, labels, origins, strict=True)):
            first.setdefault(origin, (clip_id, label))
        names, classes = ([pair[place] for pair in first.values()] for place in (0, 1))
        parts = stratified_split(names, classes, val=val, test=test, seed=seed)
        part_of = dict(zip(first, parts, strict=True))
        return [part_of[origin] for origin in origins]
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val ({val}) and test ({test}) must not be negative and sum to under 1")
    members: dict[str, list[str]] = {}
    for clip_id, label in sorted(zip(ids, labels, strict=True)):
        members.setdefault(label, []).append(clip_id)
    split_of: dict[str, Split] = {}
    for index, label in enumerate(sorted(members)):
        shuffled = np.random.default_rng([seed, index]).permutation(members[label]).tolist()
        count = len(shuffled)
        n_test = max(round(test * count), int(count >= 2)) if test else 0
        n_val = max(round(val * count), int(count >= 3)) if val else 0
        for position, clip_id in enumerate(shuffled):
            split_of[clip_id] = (
                "test" if position < n_test else "val" if position < n_test + n_val else "train"
            )
    return [split_of[clip_id] for clip_id in ids]


def is_video(path: MediaPath) -> bool:
    """Whether this is a file with the suffix of a video, and not hidden."""
    return (
        path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _id_within(root: MediaPath, path: MediaPath) -> str:
    return PurePosixPath(*path.parts[len(root.parts) :]).with_suffix("").as_posix()


def _sorted(paths: Iterable[MediaPath]) -> list[MediaPath]:
    return sorted(paths, key=lambda path: tuple(path.parts))


@dataclass
class _Links:
    """Which symbolic links to go along, and how many were not."""

    root: MediaPath
    follow: bool
    left_out: int = 0

    def go_along(self, link: Path) -> bool:
        inside = link.resolve().is_relative_to(str(self.root.resolve()))
        if inside or self.follow or not link.exists():
            return True
        self.left_out += 1
        return False


def _files_below(
    place: MediaPath, links: _Links, above: frozenset[Path] = frozenset()
) -> Iterator[MediaPath]:
    """All files of a folder and its folders, ``above`` which these others lie."""
    if not isinstance(place, Path):
        yield from place.rglob("*")
    elif place.is_symlink() and not links.go_along(place):
        return
    elif not place.is_dir():
        yield place
    elif (folder := place.resolve()) not in above:  # else links make a circle
        for inside in place.iterdir():
            yield from _files_below(inside, links, above | {folder})


def refuse_duplicate_ids(clips: Sequence[Clip], where: MediaPath) -> None:
    """Raise a SetupError that names the clips which share an id."""
    first: dict[str, Clip] = {}
    faults = [
        f"{_named(other, clip)} share the id {clip.id!r}"
        for clip in clips
        if (other := first.setdefault(clip.id, clip)) is not clip
    ]
    if faults:
        raise faults_in(where, faults, "rename one, or give ids in a manifest")


def _named(one: Clip, other: Clip) -> str:
    """Both files, with their labels where these differ."""
    if one.label == other.label:
        return f"{one.path.name} and {other.path.name}"
    return f"{one.path.name} ({one.label}) and {other.path.name} ({other.label})"


def _refuse_mistyped(columns: Sequence[str], where: Path) -> None:
    """A column that is passed over for a slip of the pen would divide the clips anew, or so."""
    absent = [column.name for column in fields(Clip) if column.name not in columns]
    for column in columns:
        name = column.strip().lower()
        # Names of three letters are alike too easily: idx, uid.
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.8 if len(name) > 3 else 1)
        if near:
            raise SetupError(
                f"{where}: a manifest has no column {column!r}; did you mean {near[0]}? Rename "
                "it; a column of your own needs a name that is less like ours"
            )


def _clip_of_row(row: dict[str, str | None], root: Path) -> Clip:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    def seconds(column: str) -> float | None:
        if not cell(column):
            return None
        try:
            value = float(cell(column))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{column} is {cell(column)}; give seconds, 0 or more")
        return value

    for column in ("path", "label"):
        if not cell(column):
            raise ValueError(f"no {column} is given")
    split = cell("split").lower()
    if split and split not in SPLITS:
        raise ValueError(f"split is {split!r}; use train, val, test or leave it empty")
    start, end = seconds("start"), seconds("end")
    event_start, event_end = seconds("event_start"), seconds("event_end")
    for prefix, first, last in (("", start, end), ("event_", event_start, event_end)):
        if last is not None and last <= (first or 0):
            raise ValueError(
                f"{prefix}end ({last:g}) must be later than {prefix}start ({first or 0:g})"
            )
    cut = "" if start is None and end is None else f"@{start or 0:g}-{'' if end is None else end}"
    path = media_path(cell("path"))
    name = cell("path") if isinstance(path, Path) else cell("path").partition("://")[2]
    return Clip(
        id=cell("id") or PurePosixPath(name).with_suffix("").as_posix() + cut,
        path=root / path if isinstance(path, Path) else path,
        label=cell("label"),
        split=split,
        start=start,
        end=end,
        event_start=event_start,
        event_end=event_end,
        source=cell("source"),
    )
