"""A data set at a glance: classes by splits, hours, missing, unreadable and duplicate clips."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from preprocessing.catalog.contents import Progress, contents
from preprocessing.catalog.datasets.copies import AcrossSplits, find_copies, settle_splits
from preprocessing.catalog.datasets.listing import Listing
from preprocessing.clips import SPLITS, Clip, Split
from preprocessing.errors import ClipError
from preprocessing.media.headers import opened, read_headers

Divide = Callable[[Sequence[Clip], Mapping[str, str]], Sequence[Split]]
"""N clips, and a name for each one's content by id → their N splits."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class, or all of them.

    Attributes:
        label: name of the class; ``all`` of the last row.
        present: split → clips with a file.
        missing: split → clips that are listed without one.
        hours: total length of the clips with a file, as their headers say.
        copies: how many of them are duplicates of another clip.
    """

    label: str
    present: Counter[Split]
    missing: Counter[Split]
    hours: float
    copies: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a data set holds, clip by clip.

    Attributes:
        clips: those of the manifest, with their splits.
        missing: those that are listed, but have no file.
        classes: all of the data set, in the order of the table.
        seconds: clip id → length; clips whose headers do not give it are left out.
        unreadable: clip id → what is wrong with its file.
        copies: groups of duplicates, two or more clips each.
        in_two_splits: how many clips of one split were in another too: (train, test) → 8.
        notes: remarks for the reader, a sentence each.
    """

    clips: tuple[Clip, ...]
    missing: tuple[Clip, ...]
    classes: tuple[str, ...]
    seconds: Mapping[str, float]
    unreadable: Mapping[str, ClipError]
    copies: tuple[tuple[Clip, ...], ...]
    in_two_splits: Mapping[tuple[Split, Split], int]
    notes: tuple[str, ...]

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that occur, train first; a missing clip may have none."""
        present = {clip.split for clip in (*self.clips, *self.missing)}
        return tuple(split for split in SPLITS if split in present)

    def rows(self) -> list[ClassRow]:
        """A row for each class of which a clip is listed, and one for all."""
        listed = {clip.label for clip in (*self.clips, *self.missing)}
        copied = {clip.id for group in self.copies for clip in group}

        def row(name: str, labels: tuple[str, ...]) -> ClassRow:
            here = [clip for clip in self.clips if clip.label in labels]
            return ClassRow(
                label=name,
                present=Counter(clip.split for clip in here),
                missing=Counter(clip.split for clip in self.missing if clip.label in labels),
                hours=sum(self.seconds.get(clip.id, 0.0) for clip in here) / 3600,
                copies=sum(clip.id in copied for clip in here),
            )

        classes = [label for label in self.classes if label in listed]
        return [*(row(label, (label,)) for label in classes), row("all", self.classes)]


def survey(
    listing: Listing,
    *,
    divide: Divide | None = None,
    across_splits: AcrossSplits = "refuse",
    on_compare: Progress | None = None,
    on_probe: Progress | None = None,
) -> Survey:
    """Examine every file of a listing: is it readable, how long is it, has it duplicates?

    Args:
        listing: the clips.
        divide: makes the splits, where the data set has none of its own.
        across_splits: what happens to clips that are in two splits, see :func:`settle_splits`.
        on_compare: receives how many files of equal size have been compared.
        on_probe: receives how many files' headers have been read.

    Raises:
        SetupError: clips are in two splits, and that is refused.
    """
    clips: Sequence[Clip] = listing.clips
    content = contents(clips, on_compare)
    if divide:
        splits = divide(clips, content)
        clips = [replace(clip, split=split) for clip, split in zip(clips, splits, strict=True)]
    clips, in_two_splits = settle_splits(clips, find_copies(clips, content), across_splits)
    seconds, unreadable = _probe(clips, on_probe)
    found = Survey(
        clips=tuple(clips),
        missing=listing.missing,
        classes=listing.classes,
        seconds=seconds,
        unreadable=unreadable,
        copies=tuple(find_copies(clips, content)),
        in_two_splits=in_two_splits,
        notes=listing.notes,
    )
    outcome = "left out of the former" if across_splits == "drop" else "kept in both"
    shared = [
        f"in {split} and in {other}: {count:,}, {outcome} (--across-splits)"
        for (split, other), count in in_two_splits.items()
    ]
    return replace(found, notes=(*listing.notes, *shared, *_gaps(found)))


def _gaps(found: Survey) -> list[str]:
    """Which classes have no clip at all, or none in a split."""
    rows = found.rows()[:-1]
    listed = {row.label for row in rows}
    without = {"": [label for label in found.classes if label not in listed]}
    for split in found.splits:
        without[split] = [row.label for row in rows if not row.present[split]]
    return [
        f"no clips{split and f' in {split}'}: {some(labels)}"
        for split, labels in without.items()
        if labels
    ]


def some(names: Sequence[str]) -> str:
    """How many, and the first few by name."""
    return f"{len(names):,}, {'; '.join(names[:3])}{' …' if len(names) > 3 else ''}"


def _probe(
    clips: Sequence[Clip], progress: Progress | None
) -> tuple[dict[str, float], dict[str, ClipError]]:
    """Seconds of each clip, and what is wrong with those that cannot be used; by id."""
    paths = list({clip.file: None for clip in clips})
    found: dict[Path, float | ClipError | None] = {}
    with ThreadPoolExecutor() as threads:  # FFmpeg works without Python's lock: cores count
        for path, length in zip(paths, threads.map(_length, paths), strict=True):
            found[path] = length
            if progress:
                progress(len(found), len(paths))
    seconds, unreadable = {}, {}
    for clip in clips:
        length = found[clip.file]
        if isinstance(length, ClipError):
            unreadable[clip.id] = length
        elif length is not None:
            end = length if clip.end is None else min(clip.end, length)
            seconds[clip.id] = max(end - (clip.start or 0.0), 0.0)
    return seconds, unreadable


def _length(path: Path) -> float | ClipError | None:
    try:
        with opened(path) as container:
            return read_headers(container, path).duration
    except ClipError as error:
        return error
