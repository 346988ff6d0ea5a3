"""Dividing clips into folds of equal size, in which every class has its share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocessing.splits import shuffled_classes


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
