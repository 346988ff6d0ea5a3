"""Duplicate clips, and what becomes of those that are in two splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from preprocessing.clips import Clip, Split
from preprocessing.errors import faults_in

AcrossSplits = Literal["refuse", "as-listed", "drop", "keep"]
"""What happens to clips that are in two splits.

``refuse``: they are an error. ``as-listed``: they stay if one file is listed twice, as in AVE's own
split, and are an error if two files are equal. ``drop``: clips of test are removed from train and
val, and clips of val from train. ``keep``: they stay.
"""

_RANK: dict[Split, int] = {"test": 0, "val": 1, "train": 2, "": 3}
"""Of clips in two splits, the one of lower rank stays."""


def find_copies(clips: Iterable[Clip], content: Mapping[str, str]) -> list[tuple[Clip, ...]]:
    """Groups of two or more duplicates: clips of equal files whose cuts overlap.

    Args:
        clips: of any splits.
        content: see :func:`preprocessing.catalog.contents.contents`.
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


def settle_splits(
    clips: Sequence[Clip], copies: Sequence[tuple[Clip, ...]], across: AcrossSplits
) -> tuple[list[Clip], Counter[tuple[Split, Split]]]:
    """Apply ``across`` to copies that are in two splits.

    Returns:
        The clips that stay, and how many of train, say, are in test too: (train, test) → 8.

    Raises:
        SetupError: there are such copies, and ``across`` refuses them (the first few are named).
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
            "--across-splits drop keeps them for testing only, --across-splits keep leaves them",
        )
    return [clip for clip in clips if across != "drop" or clip.id not in dropped], parted
