"""Properties of the miners, on any batch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from avcmr.training.mining import Triplets, all_triplets, hard_triplets, semi_hard_triplets

DTYPES = st.sampled_from([torch.float32, torch.float64])
CLIPS = st.integers(2, 9)
MINERS = pytest.mark.parametrize("miner", [semi_hard_triplets, hard_triplets, all_triplets])


@dataclass(frozen=True)
class Distances:
    """What a miner gets; distances lie on a coarse grid, so that many are equal."""

    to_positives: Tensor
    to_negatives: Tensor
    is_positive: Tensor
    is_negative: Tensor

    def mined_by(self, miner) -> Triplets:
        return miner(self.to_positives, self.to_negatives, self.is_positive, self.is_negative)


@st.composite
def distances(draw) -> Distances:
    anchors, positives, negatives = draw(CLIPS), draw(CLIPS), draw(CLIPS)

    def labels(count: int) -> Tensor:
        return torch.from_numpy(draw(arrays(np.int64, count, elements=st.integers(0, 2))))

    def grid(columns: int) -> Tensor:
        steps = draw(arrays(np.int64, (anchors, columns), elements=st.integers(0, 8)))
        return torch.from_numpy(steps).to(dtype) / 4

    dtype = draw(DTYPES)
    of_anchors = labels(anchors)[:, None]
    return Distances(
        to_positives=grid(positives),
        to_negatives=grid(negatives),
        is_positive=of_anchors == labels(positives),
        is_negative=of_anchors != labels(negatives),
    )


class TestMiners:
    @MINERS
    @given(batch=distances())
    def test_positives_are_positives_and_negatives_are_negatives(self, batch, miner) -> None:
        mined = batch.mined_by(miner)
        assert bool(batch.is_positive[mined.anchor, mined.positive].all())
        assert bool(batch.is_negative[mined.anchor, mined.negative].all())

    @given(batch=distances())
    def test_a_semi_hard_negative_is_farther_than_its_positive(self, batch) -> None:
        mined = batch.mined_by(semi_hard_triplets)
        to_positive = batch.to_positives[mined.anchor, mined.positive]
        assert bool((batch.to_negatives[mined.anchor, mined.negative] > to_positive).all())

    @given(batch=distances())
    def test_a_hard_triplet_is_as_hard_as_any_other(self, batch) -> None:
        mined = batch.mined_by(hard_triplets)
        semi = batch.mined_by(semi_hard_triplets)
        hardness = dict(
            zip(
                mined.anchor.tolist(),
                (
                    batch.to_positives[mined.anchor, mined.positive]
                    - batch.to_negatives[mined.anchor, mined.negative]
                ).tolist(),
                strict=True,
            )
        )
        others = (
            batch.to_positives[semi.anchor, semi.positive]
            - batch.to_negatives[semi.anchor, semi.negative]
        )
        for anchor, other in zip(semi.anchor.tolist(), others.tolist(), strict=True):
            assert hardness[anchor] >= other

    @MINERS
    @given(batch=distances(), seed=st.integers(0, 99))
    def test_the_order_of_the_batch_does_not_matter(self, batch, seed, miner) -> None:
        generator = torch.Generator().manual_seed(seed)
        rows, positives, negatives = (
            torch.randperm(count, generator=generator)
            for count in (*batch.to_positives.shape, batch.to_negatives.shape[1])
        )
        shuffled = Distances(
            batch.to_positives[rows][:, positives],
            batch.to_negatives[rows][:, negatives],
            batch.is_positive[rows][:, positives],
            batch.is_negative[rows][:, negatives],
        )

        def distances_by_anchor(batch: Distances, anchors: Tensor) -> list[list[float]]:
            mined = batch.mined_by(miner)
            columns = (
                anchors[mined.anchor],
                batch.to_positives[mined.anchor, mined.positive],
                batch.to_negatives[mined.anchor, mined.negative],
            )
            return sorted(torch.stack([column.double() for column in columns], dim=1).tolist())

        plain = torch.arange(len(rows))
        assert distances_by_anchor(shuffled, rows) == distances_by_anchor(batch, plain)
