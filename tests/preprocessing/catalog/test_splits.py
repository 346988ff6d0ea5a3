"""How clips are divided: by class, by seed, and never those of one origin."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from preprocessing.catalog.splits import balanced_folds, stratified_split, with_sources
from preprocessing.clips import NO_FILE, Clip


def clips_of(labels: Sequence[str]) -> list[Clip]:
    return [
        Clip(f"{label}{row}", Path(f"{label}{row}.mp4"), label) for row, label in enumerate(labels)
    ]


class TestStratifiedSplit:
    def test_is_seeded_and_independent_of_order(self) -> None:
        labels = ["a"] * 50 + ["b"] * 10 + ["c"] * 3 + ["d"] * 2 + ["e"]
        clips = clips_of(labels)
        splits = stratified_split(clips, val=0.1, test=0.2, seed=1)
        counted = Counter(zip(labels, splits, strict=True))
        assert counted == {
            ("a", "train"): 35, ("a", "val"): 5, ("a", "test"): 10,
            ("b", "train"): 7, ("b", "val"): 1, ("b", "test"): 2,
            ("c", "train"): 1, ("c", "val"): 1, ("c", "test"): 1,
            ("d", "train"): 1, ("d", "test"): 1,
            ("e", "train"): 1,
        }  # fmt: skip
        assert stratified_split(clips[::-1], val=0.1, test=0.2, seed=1)[::-1] == splits
        assert stratified_split(clips, val=0.1, test=0.2, seed=2) != splits
        assert set(stratified_split(clips, val=0.1, test=0, seed=1)) == {"train", "val"}
        with pytest.raises(ValueError, match="under 1"):
            stratified_split(clips, val=0.5, test=0.5)

    @pytest.mark.parametrize("shared", ["source", "file", "content"])
    def test_clips_of_one_origin_count_as_one(self, shared: str) -> None:
        """Five cuts of each of 20 recordings, some of two classes."""
        whole = [Clip(f"{number:02}@0", NO_FILE, "ab"[number % 2]) for number in range(20)]
        clips, content = [], {}
        for first in whole:
            for cut in range(5):
                clip = replace(
                    first, id=f"{first.id[:2]}@{cut}", label="b" if cut == 4 else first.label
                )
                if shared == "source":
                    clip = replace(clip, source=first.id)
                elif shared == "file":
                    clip = replace(clip, path=Path(first.id))
                else:
                    content[clip.id] = first.id
                clips.append(clip)
        splits = stratified_split(clips, content, val=0.1, test=0.2, seed=1)
        of_whole = stratified_split(whole, val=0.1, test=0.2, seed=1)
        assert splits == [split for split in of_whole for _ in range(5)]
        assert set(splits) == {"train", "val", "test"}


class TestFolds:
    def test_are_balanced_seeded_and_independent_of_order(self) -> None:
        clips = clips_of(["a"] * 11 + ["b"] * 7 + ["c"] * 2)
        folds = balanced_folds(clips, seed=3).tolist()
        shuffled = random.Random(0).sample(clips, len(clips))
        again = balanced_folds(shuffled, seed=3).tolist()
        assert [again[shuffled.index(clip)] for clip in clips] == folds
        assert balanced_folds(clips, seed=4).tolist() != folds
        assert set(Counter(folds).values()) == {4}
        with pytest.raises(ValueError, match="2 or more"):
            balanced_folds(clips, folds=1)


@pytest.mark.parametrize("seed", range(100))
def test_no_origin_is_ever_divided(seed: int) -> None:
    """Random collections in which sources, files and equal contents overlap in every way."""
    rng = random.Random(seed)
    count, kinds = rng.randint(5, 60), rng.randint(3, 40)

    def maybe(name: str) -> str:
        return f"{name}{rng.randrange(kinds)}" if rng.random() < 0.5 else ""

    clips = [
        Clip(
            str(row), Path(maybe("file") or f"own{row}"), rng.choice("abc"), source=maybe("source")
        )
        for row in range(count)
    ]
    content = {clip.id: maybe("sha") for clip in clips}
    splits: list[object] = list(stratified_split(clips, content, val=0.2, test=0.3, seed=seed))
    folds: list[object] = balanced_folds(clips, content, folds=3, seed=seed).tolist()
    # Sources alone, such as a feature file knows, keep them together too.
    stored = [replace(clip, path=NO_FILE) for clip in with_sources(clips, content)]
    again: list[object] = list(stratified_split(stored, val=0.2, test=0.3, seed=seed + 1))
    for parts in (splits, folds, again):
        parts_of: dict[tuple[str, str], set[object]] = defaultdict(set)
        for clip, part in zip(clips, parts, strict=True):
            shared = {"source": clip.source, "file": str(clip.path), "content": content[clip.id]}
            for origin in shared.items():
                if origin[1]:
                    parts_of[origin].add(part)
        assert [origin for origin, found in parts_of.items() if len(found) > 1] == []
