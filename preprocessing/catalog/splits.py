"""How clips are divided into training, validation and test, or into folds.

Clips that share a source, a file or their content are never divided: together they count as one
clip, of the class of the first by id. What a division gives depends on the set of clips and the
seed alone, not on their order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import NO_FILE, Clip, Split

_Node = tuple[str, str]
"""What kind of thing, and its name."""


def stratified_split(
    clips: Sequence[Clip],
    content: Mapping[str, str] | None = None,
    *,
    val: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> list[Split]:
    """Assign every clip to train, val or test, class by class, in the order given.

    A class of three or more clips has at least one in each split; of two, one in train and one in
    test. A fraction of 0 leaves that split empty.

    Args:
        clips: any splits that they have are ignored.
        content: clip id → a name for its file's bytes, where known (``catalog.contents``).
        val: fraction of each class for validation.
        test: fraction of each class for testing.
        seed: of the random order.

    Raises:
        ValueError: a fraction is negative, or both leave nothing to train on.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val ({val}) and test ({test}) must not be negative and sum to under 1")
    split_of: dict[str, Split] = {}
    for groups in _shuffled_classes(clips, content or {}, seed):
        count = len(groups)
        n_test = max(round(test * count), int(count >= 2)) if test else 0
        n_val = max(round(val * count), int(count >= 3)) if val else 0
        for position, group in enumerate(groups):
            split: Split = (
                "test" if position < n_test else "val" if position < n_test + n_val else "train"
            )
            split_of.update(dict.fromkeys(group, split))
    return [split_of[clip.id] for clip in clips]


def balanced_folds(
    clips: Sequence[Clip],
    content: Mapping[str, str] | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> NDArray[np.int64]:
    """The fold of each of N clips: (N,), from 0 on, in the order given.

    Of every class, and of all clips, each fold has the same number, or one more: the first folds
    are the larger.

    Args:
        clips: any splits that they have are ignored.
        content: as of :func:`stratified_split`.
        folds: how many, at least 2.
        seed: of the random order.
    """
    if folds < 2:
        raise ValueError(f"{folds} folds; there must be 2 or more")
    fold_of: dict[str, int] = {}
    groups = chain.from_iterable(_shuffled_classes(clips, content or {}, seed))
    for number, group in enumerate(groups):  # a class goes on at the fold where the last one ended
        fold_of.update(dict.fromkeys(group, number % folds))
    return np.array([fold_of[clip.id] for clip in clips], dtype=np.int64)


def with_sources(clips: Sequence[Clip], content: Mapping[str, str] | None = None) -> list[Clip]:
    """The clips, those that must stay together given one ``source``.

    What is stored of them then keeps them together, also where file and content are not known.
    Where a group has several sources, the first by name is given to all.
    """
    clip_of = {clip.id: clip for clip in clips}
    source_of: dict[str, str] = {}
    for group in _undivided(clips, content or {}):
        if len(group) > 1:
            members = [clip_of[id_] for id_ in group]
            named = min((clip.source for clip in members if clip.source), default="")
            source = named or min(str(clip.path) for clip in members)
            source_of.update(dict.fromkeys(group, source))
    return [replace(clip, source=source_of.get(clip.id, clip.source)) for clip in clips]


def _shuffled_classes(
    clips: Sequence[Clip], content: Mapping[str, str], seed: int
) -> Iterator[list[list[str]]]:
    """The groups of each class in random order, classes by name."""
    label_of = {clip.id: clip.label for clip in clips}
    members: dict[str, list[list[str]]] = {}
    for group in _undivided(clips, content):
        members.setdefault(label_of[group[0]], []).append(group)
    for index, label in enumerate(sorted(members)):
        order = np.random.default_rng([seed, index]).permutation(len(members[label]))
        yield [members[label][place] for place in order]


def _undivided(clips: Sequence[Clip], content: Mapping[str, str]) -> list[list[str]]:
    """The ids of clips that must stay together; each group sorted, groups by their first id."""
    parents: dict[_Node, _Node] = {}  # a union-find over clips and what they share

    def root(node: _Node) -> _Node:
        while parents.setdefault(node, node) != node:
            parents[node] = node = parents[parents[node]]
        return node

    groups: dict[_Node, list[str]] = {}
    for clip in clips:
        file = "" if clip.path == NO_FILE else str(clip.path)
        shares = {"source": clip.source, "file": file, "content": content.get(clip.id, "")}
        for shared in shares.items():
            if shared[1]:
                parents[root(shared)] = root(("clip", clip.id))
    for clip in clips:
        groups.setdefault(root(("clip", clip.id)), []).append(clip.id)
    return sorted(sorted(group) for group in groups.values())
