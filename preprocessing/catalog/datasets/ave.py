"""AVE: 4,143 clips of 10 seconds in 28 classes, each with the seconds of its audio-visual event.

Tian et al., *Audio-Visual Event Localization in Unconstrained Videos*, ECCV 2018. Videos are named
by their YouTube id, ``AVE/VIDEO.mp4``; the lists beside them are read by :mod:`.ave_lists`.

45 videos are listed under two or three classes, and of these some are in two splits: 10 in train
and val, 8 in train and test.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

from preprocessing.catalog.datasets.ave_lists import (
    AVE_CLASSES,
    SECONDS,
    Event,
    read_annotations,
    read_splits,
)
from preprocessing.catalog.datasets.listing import Listing
from preprocessing.catalog.folders import videos_below
from preprocessing.clips import Clip, Split
from preprocessing.errors import NotFoundError, SetupError, faults_in

Cut = Literal["none", "train", "all"]
"""Which clips are cut to the seconds of their event."""


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
    are stored also where a clip is not cut. An event without length (AVE has one) is ignored.

    Args:
        annotations: ``Annotations.txt``.
        videos: folder with ``VIDEO.mp4``, at any depth.
        splits: folder of the official split; None takes the annotations' own.
        classes: only clips of these.
        cut: which clips are cut to the seconds of their event.

    Raises:
        AvcmrError: a file or folder is absent or inconsistent, or none of the videos exists.
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
            f"{videos}: none of the {len(missing):,} clips has a file; "
            f"expected {missing[0].path.name} and so on"
        )
    return Listing(clips, missing, tuple(classes), tuple(_notes(wanted, cut)))


def _require(annotations: Path, videos: Path, splits: Path | None) -> None:
    """Raise one error that names everything absent."""
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


def _videos_by_name(folder: Path, names: Collection[str]) -> dict[str, Path]:
    paths = [path for path in videos_below(folder) if path.stem in names]
    found = {path.stem: path for path in reversed(paths)}  # the first of each name
    faults = [
        f"{found[path.stem].relative_to(folder)} and {path.relative_to(folder)} are of one video"
        for path in paths
        if found[path.stem] != path
    ]
    if faults:
        raise faults_in(folder, faults, "keep one file of each")
    return found


def _seconds(event: Event) -> tuple[float | None, float | None]:
    """The event's cut; none where it fills the clip, or has no length."""
    if event.start == event.end or (event.start, event.end) == (0.0, SECONDS):
        return None, None
    return event.start, event.end
