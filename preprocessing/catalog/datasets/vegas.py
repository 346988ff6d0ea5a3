"""VEGAS: 28,103 clips of 2 to 10 seconds in 10 classes (Zhou et al., *Visual to Sound*, CVPR 2018).

Its files come as ``CLASS/…/video_00382.mp4`` or as ``CLASS_video_00382.mp4``; both have the id
``CLASS_video_00382``. It has no official split; the literature tests on a fifth, 22,482/5,621, or
on each of five folds in turn.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocessing.catalog.datasets.listing import Listing
from preprocessing.catalog.folders import videos_below
from preprocessing.catalog.splits import balanced_folds
from preprocessing.clips import Clip, Split, refuse_duplicate_ids
from preprocessing.errors import NotFoundError, SetupError, faults_in

VEGAS_CLASSES = (
    "baby_cry",
    "chainsaw",
    "dog",
    "drum",
    "fireworks",
    "helicopter",
    "printer",
    "rail_transport",
    "snoring",
    "water_flowing",
)

_CLIPS = 28_103
"""How many clips were published."""

_FOLDS = 5

_NAME = re.compile(rf"({'|'.join(VEGAS_CLASSES)})_(.+)")


def list_vegas(videos: Path) -> Listing:
    """VEGAS's clips, without splits; see :func:`vegas_splits`.

    Raises:
        AvcmrError: no such folder, no videos in it, or videos of no class or of two (the
            first few are named).
    """
    if not videos.is_dir():
        raise NotFoundError(f"{videos}: no such folder of videos; check the path")
    clips, faults = [], []
    for path in videos_below(videos):
        try:
            clips.append(_clip_of(path, videos))
        except ValueError as error:
            faults.append(f"{path.relative_to(videos)} {error}")
    if faults:
        raise faults_in(
            videos,
            faults,
            "files are CLASS/…/video_00382.mp4 or CLASS_video_00382.mp4, and CLASS is one of "
            f"{', '.join(VEGAS_CLASSES)}; move other videos elsewhere",
        )
    if not clips:
        raise SetupError(f"{videos}: no videos; expected {videos}/chainsaw/video_00382.mp4")
    refuse_duplicate_ids(clips, videos)
    notes = []
    if len(clips) < _CLIPS:
        notes.append(f"{len(clips):,} of the {_CLIPS:,} clips that were published are here")
    return Listing(tuple(clips), (), VEGAS_CLASSES, tuple(notes))


def vegas_splits(
    clips: Sequence[Clip],
    content: Mapping[str, str] | None = None,
    *,
    fold: int = 1,
    seed: int = 0,
) -> list[Split]:
    """Train and test: one of five class-balanced folds, counted from 1, is the test split.

    Of all 28,103 clips, the first fold has 5,621, which leaves 22,482 for training.
    """
    folds = balanced_folds(clips, content, folds=_FOLDS, seed=seed)
    return ["test" if number == fold - 1 else "train" for number in folds]


def _clip_of(path: Path, root: Path) -> Clip:
    folders = [name for name in path.relative_to(root).parts[:-1] if name in VEGAS_CLASSES]
    named = _NAME.fullmatch(path.stem)
    labels = {*folders, *([named[1]] if named else [])}
    if not labels:
        raise ValueError("is of no class")
    if len(labels) > 1:
        raise ValueError(f"is of two classes by its folder and name: {', '.join(sorted(labels))}")
    (label,) = labels
    return Clip(id=f"{label}_{named[2] if named else path.stem}", path=path, label=label)
