"""AVE: 4,143 clips of 10 seconds in 28 classes, each with the seconds of its audio-visual event.

As its authors lay it out (Tian et al., *Audio-Visual Event Localization in Unconstrained Videos*,
ECCV 2018): videos ``AVE/VIDEO.mp4``, named by their YouTube id; ``Annotations.txt`` with lines
``class&video&quality&start&end``; and the official split 3339/402/402, either as
``trainSet.txt``, ``valSet.txt`` and ``testSet.txt`` with lines like those of the annotations, or as
``train_order.h5`` and so on, which hold row numbers of the annotations from 0.

45 videos are listed under two or three classes, and of these some are in two splits: 10 in train
and val, 8 in train and test.
"""

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from preprocessing.catalog.datasets.listing import Listing
from preprocessing.catalog.folders import is_video
from preprocessing.clips import SPLITS, Clip, Split
from preprocessing.errors import NotFoundError, SetupError, faults_in

AVE_CLASSES = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)
"""In the order in which the annotations first name them."""

AVE15_CLASSES = (
    "Clock",
    "Motorcycle",
    "Train horn",
    "Bark",
    "Cat",
    "Bus",
    "Rodents, rats, mice",
    "Toilet flush",
    "Acoustic guitar",
    "Frying (food)",
    "Chainsaw",
    "Horse",
    "Helicopter",
    "Baby cry, infant cry",
    "Truck",
)
"""The subset that the paper's authors report on, in the order of their labels."""

SECONDS = 10.0
"""Length of every clip of AVE."""

Cut = Literal["none", "train", "all"]
"""Which clips are cut to the seconds of their event."""

_HEADER = "Category&"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the annotations.

    Attributes:
        label: name of the class.
        video: YouTube id, which names the file.
        start: first second in which the event is both seen and heard.
        end: last second.
    """

    label: str
    video: str
    start: float
    end: float


def read_annotations(path: Path) -> list[Event]:
    """All events of an annotation file, or of a split's list; a line of column names is left out.

    Raises:
        AvcmrError: no such file, or lines that cannot be right (the first few are named).
    """
    events: list[Event] = []
    faults = []
    lines: dict[tuple[str, str], int] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip() or (number == 1 and line.startswith(_HEADER)):
            continue
        try:
            event = _event_of_line(line)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        before = lines.setdefault((event.label, event.video), number)
        if before != number:
            faults.append(f"line {number}: {event.label}, {event.video} is in line {before} too")
        events.append(event)
    if faults:
        raise faults_in(path, faults, "fetch the file again from AVE's authors, or mend the lines")
    if not events:
        raise SetupError(f"{path}: no annotations; each line is class&video&quality&start&end")
    return events


def read_splits(folder: Path, events: Sequence[Event]) -> list[Split]:
    """The split of each event, from the three lists or the three order files in a folder.

    Empty for an event that none of them has. Where both kinds are there, the lists count.

    Raises:
        AvcmrError: neither kind is complete, a list names what the annotations do not, or two
            have an event in common.
    """
    lists = {split: folder / f"{split}Set.txt" for split in SPLITS}
    orders = {split: folder / f"{split}_order.h5" for split in SPLITS}
    if all(path.is_file() for path in lists.values()):
        return _splits_of_lists(lists, events)
    if all(path.is_file() for path in orders.values()):
        return _splits_of_orders(orders, events)
    absent = [path.name for path in (*lists.values(), *orders.values()) if not path.is_file()]
    raise SetupError(
        f"{folder}: the official split is not there; put trainSet.txt, valSet.txt and testSet.txt, "
        "or train_order.h5, val_order.h5 and test_order.h5 beside the annotations, or name their "
        f"folder with --splits (absent: {', '.join(absent)})"
    )


def list_ave(
    annotations: Path,
    videos: Path,
    *,
    splits: Path | None = None,
    classes: Sequence[str] = AVE_CLASSES,
    cut: Cut = "none",
) -> Listing:
    """AVE's clips in their official splits.

    The id is the video's; of a video with several classes, ``VIDEO/CLASS``. The event's seconds
    are noted also where a clip is not cut. An event without length (AVE has one) is none.

    Args:
        annotations: ``Annotations.txt``.
        videos: folder with ``VIDEO.mp4``, or with folders that have.
        splits: folder of the official split; None takes the annotations' own.
        classes: only clips of these.
        cut: which clips are cut to the seconds of their event.

    Raises:
        AvcmrError: a file or folder is absent or cannot be right; or none of the videos is there.
    """
    _require(annotations, videos, splits)
    events = read_annotations(annotations)
    split_of = read_splits(splits or annotations.parent, events)
    found = _videos_by_name(videos, {event.video for event in events})
    times_listed = Counter(event.video for event in events)
    wanted = [pair for pair in zip(events, split_of, strict=True) if pair[0].label in classes]
    listed = [
        _clip_of(
            event,
            split,
            id_=event.video if times_listed[event.video] == 1 else f"{event.video}/{event.label}",
            path=found.get(event.video, videos / f"{event.video}.mp4"),
            cut=_is_cut(split, cut),
        )
        for event, split in wanted
        if split
    ]
    if not listed:
        raise NotFoundError(f"{annotations}: no event of {', '.join(classes)} is in a split")
    there = set(found.values())
    clips = tuple(clip for clip in listed if clip.path in there)
    missing = tuple(clip for clip in listed if clip.path not in there)
    if not clips:
        raise SetupError(
            f"{videos}: none of the {len(missing):,} clips is there; "
            f"expected {missing[0].path.name} and so on"
        )
    return Listing(clips, missing, tuple(classes), tuple(_notes(wanted, cut)))


def _require(annotations: Path, videos: Path, splits: Path | None) -> None:
    """All that is absent is named at once."""
    faults = [] if annotations.is_file() else [f"{annotations}: no such annotation file"]
    faults += [
        f"{folder}: no such folder of AVE's"
        for folder in (videos, splits)
        if folder and not folder.is_dir()
    ]
    if faults:
        raise NotFoundError("; ".join(faults))


def _is_cut(split: Split, cut: Cut) -> bool:
    return cut in ("all", split)


def _clip_of(event: Event, split: Split, *, id_: str, path: Path, cut: bool) -> Clip:
    start, end = _seconds(event) if cut else (None, None)
    timed = event.start < event.end
    return Clip(
        id=id_,
        path=path,
        label=event.label,
        split=split,
        start=start,
        end=end,
        event_start=event.start - (start or 0) if timed else None,
        event_end=event.end - (start or 0) if timed else None,
    )


def _notes(wanted: Sequence[tuple[Event, Split]], cut: Cut) -> Iterator[str]:
    unsplit = sum(not split for _, split in wanted)
    if unsplit:
        yield f"in none of the three splits: {unsplit:,}, left out"
    unmarked = sum(
        event.start == event.end for event, split in wanted if split and _is_cut(split, cut)
    )
    if unmarked:
        yield f"with an event of no length: {unmarked:,}, left whole"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such list of events; mend the path") from None
    except UnicodeDecodeError as error:
        raise SetupError(f"{path}: not a UTF-8 text file ({error})") from None


def _event_of_line(line: str) -> Event:
    fields = [field.strip() for field in line.split("&")]
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields, not class&video&quality&start&end")
    label, video, _, start, end = fields
    if label not in AVE_CLASSES:
        close = difflib.get_close_matches(label, AVE_CLASSES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"AVE has no class {label!r}{hint}")
    if not re.fullmatch(r"[\w-]{11}", video, re.ASCII):
        raise ValueError(f"{video!r} is not the id of a YouTube video")
    try:
        event = Event(label, video, float(start), float(end))
    except ValueError:
        raise ValueError(f"{start!r} and {end!r} are not seconds") from None
    if not 0 <= event.start <= event.end <= SECONDS:
        raise ValueError(f"an event from {start} to {end} s; clips last from 0 to {SECONDS:g} s")
    return event


def _splits_of_lists(lists: dict[Split, Path], events: Sequence[Event]) -> list[Split]:
    rows = {(event.label, event.video): row for row, event in enumerate(events)}
    splits: list[Split] = [""] * len(events)
    for split, path in lists.items():
        faults = []
        for event in read_annotations(path):
            name = f"{event.label}, {event.video}"
            row = rows.get((event.label, event.video))
            if row is None:
                faults.append(f"{name} is not in the annotations")
            elif splits[row]:
                faults.append(f"{name} is in {lists[splits[row]].name} too")
            else:
                splits[row] = split
        if faults:
            raise faults_in(path, faults, "fetch annotations and lists from one place")
    return splits


def _splits_of_orders(orders: dict[Split, Path], events: Sequence[Event]) -> list[Split]:
    splits: list[Split] = [""] * len(events)
    for split, path in orders.items():
        try:
            with h5py.File(path) as file:
                order = np.asarray(file["order"])
        except (OSError, KeyError) as error:
            raise SetupError(
                f"{path}: not an HDF5 file with a data set 'order' ({error})"
            ) from None
        if order.ndim != 1 or order.dtype.kind not in "iu":
            raise SetupError(f"{path}: 'order' must be a list of row numbers")
        faults = []
        for row in order.tolist():
            if not 0 <= row < len(events):
                faults.append(f"row {row}, where the annotations have rows 0 to {len(events) - 1}")
            elif splits[row]:
                faults.append(f"row {row} is in {orders[splits[row]].name} too")
            else:
                splits[row] = split
        if faults:
            raise faults_in(path, faults, "fetch annotations and order files from one place")
    return splits


def _videos_by_name(folder: Path, names: Collection[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    faults = []
    for path in sorted(folder.rglob("*")):
        if path.stem in names and is_video(path):
            other = found.setdefault(path.stem, path)
            if other != path:
                faults.append(
                    f"{other.relative_to(folder)} and {path.relative_to(folder)} are of one video"
                )
    if faults:
        raise faults_in(folder, faults, "keep one file of each")
    return found


def _seconds(event: Event) -> tuple[float | None, float | None]:
    """The event's cut; none where it fills the clip, or has no length."""
    if event.start == event.end or (event.start, event.end) == (0.0, SECONDS):
        return None, None
    return event.start, event.end
