"""Miners against loops over every candidate."""

import pytest
import torch
from torch import Tensor

from avcmr.training.mining import Triplets, all_triplets, hard_triplets, semi_hard_triplets


def distances_and_masks(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random (5, 6) and (5, 9) distances with ties, and masks where rows may be empty."""
    generator = torch.Generator().manual_seed(seed)
    to_positives = torch.randint(0, 8, (5, 6), generator=generator) / 4
    to_negatives = torch.randint(0, 8, (5, 9), generator=generator) / 4
    is_positive = torch.rand(5, 6, generator=generator) < 0.4
    is_negative = torch.rand(5, 9, generator=generator) < 0.4
    return to_positives, to_negatives, is_positive, is_negative


@pytest.mark.parametrize("seed", range(20))
def test_semi_hard_is_the_nearest_negative_beyond_the_positive(seed: int) -> None:
    to_positives, to_negatives, is_positive, is_negative = distances_and_masks(seed)
    mined = semi_hard_triplets(to_positives, to_negatives, is_positive, is_negative)
    found = {
        (a, p): to_negatives[a, n].item()
        for a, p, n in zip(
            mined.anchor.tolist(), mined.positive.tolist(), mined.negative.tolist(), strict=True
        )
    }
    expected = {}
    for a in range(5):
        for p in range(6):
            beyond = [
                to_negatives[a, n].item()
                for n in range(9)
                if is_negative[a, n] and to_negatives[a, n] > to_positives[a, p]
            ]
            if is_positive[a, p] and beyond:
                expected[a, p] = min(beyond)
    assert found == expected
    assert bool(is_negative[mined.anchor, mined.negative].all())


@pytest.mark.parametrize("seed", range(20))
def test_hard_is_the_farthest_positive_and_the_nearest_negative(seed: int) -> None:
    to_positives, to_negatives, is_positive, is_negative = distances_and_masks(seed)
    mined = hard_triplets(to_positives, to_negatives, is_positive, is_negative)
    expected = {
        a: (
            max(to_positives[a, is_positive[a]].tolist()),
            min(to_negatives[a, is_negative[a]].tolist()),
        )
        for a in range(5)
        if is_positive[a].any() and is_negative[a].any()
    }
    found = {
        a: (to_positives[a, p].item(), to_negatives[a, n].item())
        for a, p, n in zip(
            mined.anchor.tolist(), mined.positive.tolist(), mined.negative.tolist(), strict=True
        )
    }
    assert found == expected
    assert bool(is_positive[mined.anchor, mined.positive].all())
    assert bool(is_negative[mined.anchor, mined.negative].all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_triplets_listed_by_hand(dtype: torch.dtype) -> None:
    """Three clips, the first two of one class, and one synthetic of a third class."""
    to_clips = torch.tensor([[0.1, 0.5, 0.4], [0.3, 0.3, 0.3], [0.2, 0.8, 0.6]], dtype=dtype)
    to_negatives = torch.cat([to_clips, torch.tensor([[0.2], [0.9], [0.7]], dtype=dtype)], dim=1)
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    is_negative = torch.cat([~same, torch.ones(3, 1, dtype=torch.bool)], dim=1)

    def listed(triplets: Triplets) -> set[tuple[int, int, int]]:
        columns = (triplets.anchor, triplets.positive, triplets.negative)
        return set(zip(*(column.tolist() for column in columns), strict=True))

    semi_hard = semi_hard_triplets(to_clips, to_negatives, same, is_negative)
    # Positive (0, 1) is farther than all negatives; for (1, 0) and (1, 1) clip 2 is no farther.
    assert listed(semi_hard) == {(0, 0, 3), (1, 0, 3), (1, 1, 3), (2, 2, 3)}
    hard = hard_triplets(to_clips, to_negatives, same, is_negative)
    assert listed(hard) == {(0, 1, 3), (1, 0, 2), (2, 2, 0)}


def test_no_negatives_give_no_triplets() -> None:
    same = torch.ones(3, 3, dtype=torch.bool)
    distances = torch.rand(3, 3)
    assert len(semi_hard_triplets(distances, distances, same, ~same)) == 0
    assert len(hard_triplets(distances, distances, same, ~same)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_batch_all_is_every_anchor_with_each_positive_and_each_negative(seed: int) -> None:
    to_positives, to_negatives, is_positive, is_negative = distances_and_masks(seed)
    mined = all_triplets(to_positives, to_negatives, is_positive, is_negative)
    found = list(
        zip(mined.anchor.tolist(), mined.positive.tolist(), mined.negative.tolist(), strict=True)
    )
    expected = [
        (a, p, n)
        for a in range(5)
        for p in range(6)
        for n in range(9)
        if is_positive[a, p] and is_negative[a, n]
    ]
    assert sorted(found) == expected
