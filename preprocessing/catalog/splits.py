"""How clips are divided into training, validation and test."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Split


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
    split_of: dict[str, Split] = {}
    for shuffled in shuffled_classes(ids, labels, seed=seed):
        count = len(shuffled)
        n_test = max(round(test * count), int(count >= 2)) if test else 0
        n_val = max(round(val * count), int(count >= 3)) if val else 0
        for position, clip_id in enumerate(shuffled):
            split_of[clip_id] = (
                "test" if position < n_test else "val" if position < n_test + n_val else "train"
            )
    return [split_of[clip_id] for clip_id in ids]


def shuffled_classes(
    ids: Sequence[str], labels: Sequence[str], *, seed: int
) -> Iterator[list[str]]:
    """The ids of each class in random order, classes by name.

    Depends on the set of (id, label) and the seed alone, not on the order of the clips.
    """
    members: dict[str, list[str]] = {}
    for clip_id, label in sorted(zip(ids, labels, strict=True)):
        members.setdefault(label, []).append(clip_id)
    for index, label in enumerate(sorted(members)):
        yield np.random.default_rng([seed, index]).permutation(members[label]).tolist()


def balanced_folds(
    ids: Sequence[str], labels: Sequence[str], *, folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """The fold of each of N clips: (N,), from 0 on, in the order given.

    Of every class, and of all clips, each fold has the same number, or one more: the first folds
    are the larger. Depends on the set of (id, label) and the seed alone, not on the order.
    """
    if folds < 2:
        raise ValueError(f"{folds} folds; there must be 2 or more")
    fold_of: dict[str, int] = {}
    for shuffled in shuffled_classes(ids, labels, seed=seed):
        for clip_id in shuffled:
            fold_of[clip_id] = len(fold_of) % folds  # a class begins where the one before ended
    return np.array([fold_of[clip_id] for clip_id in ids], dtype=np.int64)
