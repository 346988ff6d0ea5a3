"""AVE's published lists: its classes, the annotated events and the official split.

``Annotations.txt`` has lines ``class&video&quality&start&end``. The official split 3339/402/402 is
either ``trainSet.txt``, ``valSet.txt`` and ``testSet.txt`` with lines like those of the
annotations, or ``train_order.h5`` and so on, which hold row numbers of the annotations from 0.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preprocessing.catalog.text import read_text
from preprocessing.clips import SPLITS, Split
from preprocessing.errors import SetupError, faults_in
from preprocessing.hdf5 import hdf5_errors, open_hdf5

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

_HEADER = "Category&"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the annotations.

    Attributes:
        label: name of the class.
        video: YouTube id, which names the file.
        start: first second in which the event is both visible and audible.
        end: last second.
    """

    label: str
    video: str
    start: float
    end: float


def read_annotations(path: Path) -> list[Event]:
    """All events of an annotation file, or of a split's list; a line of column names is skipped.

    Raises:
        AvcmrError: no such file, or invalid lines (the first few are named).
    """
    events: list[Event] = []
    faults = []
    lines: dict[tuple[str, str], int] = {}
    for number, line in enumerate(read_text(path, "list of events").split("\n"), start=1):
        if not line.strip() or (not events and line.strip().startswith(_HEADER)):
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
        raise faults_in(path, faults, "fetch the file again, or correct the lines")
    if not events:
        raise SetupError(f"{path}: no annotations; each line is class&video&quality&start&end")
    return events


def read_splits(folder: Path, events: Sequence[Event]) -> list[Split]:
    """The split of each event, from the three lists or the three order files in a folder.

    Empty for an event in none of them. If both kinds exist, the lists are used.

    Raises:
        AvcmrError: neither kind is complete, a list has an event that the annotations lack, or two
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
        f"{folder}: the official split is missing; put trainSet.txt, valSet.txt and testSet.txt, "
        "or train_order.h5, val_order.h5 and test_order.h5 beside the annotations, or name their "
        f"folder with --splits (absent: {', '.join(absent)})"
    )


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
        with hdf5_errors(path), open_hdf5(path) as file:
            if "order" not in file:
                raise SetupError(f"{path}: has no data set 'order'; fetch it again")
            order = np.asarray(file["order"])
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
