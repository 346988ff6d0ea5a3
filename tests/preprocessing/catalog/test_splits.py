"""How clips are divided."""

from collections import Counter

import pytest

from preprocessing.catalog.splits import stratified_split


def test_split_is_stratified_seeded_and_blind_to_order() -> None:
    labels = ["a"] * 50 + ["b"] * 10 + ["c"] * 3 + ["d"] * 2 + ["e"]
    ids = [f"{label}{row}" for row, label in enumerate(labels)]
    splits = stratified_split(ids, labels, val=0.1, test=0.2, seed=1)
    counted = Counter(zip(labels, splits, strict=True))
    assert counted == {
        ("a", "train"): 35, ("a", "val"): 5, ("a", "test"): 10,
        ("b", "train"): 7, ("b", "val"): 1, ("b", "test"): 2,
        ("c", "train"): 1, ("c", "val"): 1, ("c", "test"): 1,
        ("d", "train"): 1, ("d", "test"): 1,
        ("e", "train"): 1,
    }  # fmt: skip
    backwards = stratified_split(ids[::-1], labels[::-1], val=0.1, test=0.2, seed=1)
    assert backwards[::-1] == splits
    assert stratified_split(ids, labels, val=0.1, test=0.2, seed=2) != splits
    assert set(stratified_split(ids, labels, val=0.1, test=0, seed=1)) == {"train", "val"}
    with pytest.raises(ValueError, match="under 1"):
        stratified_split(ids, labels, val=0.5, test=0.5)


def test_clips_of_one_origin_stay_together() -> None:
    """Five cuts of each of 20 files, some of two classes; all else is as for 20 clips."""
    files = [f"{number:02}" for number in range(20)]
    kinds = ["ab"[number % 2] for number in range(20)]
    ids = [f"{name}@{cut}" for name in files for cut in range(5)]
    labels = [kinds[row // 5] if row % 5 < 4 else "b" for row in range(100)]
    origins = [ids[row][:2] for row in range(100)]
    splits = stratified_split(ids, labels, origins=origins, val=0.1, test=0.2, seed=1)
    whole = stratified_split([f"{name}@0" for name in files], kinds, val=0.1, test=0.2, seed=1)
    assert splits == [split for split in whole for _ in range(5)]
    assert set(splits) == {"train", "val", "test"}
