"""Collapse gauges against closed forms and loops over all pairs."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from avcmr.metrics.collapse import collapse_gauges, distance_spread


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestCollapseGauges:
    def test_one_point(self) -> None:
        gauges = collapse_gauges(torch.tensor([[3.0, 4.0]]).repeat(10, 1))
        assert gauges.mean_distance == pytest.approx(0, abs=1e-12)
        assert gauges.effective_rank == pytest.approx(1, abs=1e-6)

    def test_orthogonal_directions_of_any_length(self) -> None:
        gauges = collapse_gauges(torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])))
        assert gauges.mean_distance == pytest.approx(1)
        assert gauges.effective_rank == pytest.approx(5)

    def test_unequal_singular_values(self) -> None:
        # Three rows on one axis, one on the other: singular values √3 and 1.
        gauges = collapse_gauges(torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]]))
        p = np.array([3**0.5, 1]) / (3**0.5 + 1)
        assert gauges.effective_rank == pytest.approx(np.exp(-(p * np.log(p)).sum()))
        assert gauges.mean_distance == pytest.approx(1 / 2)

    def test_mean_distance_equals_all_pairs(self) -> None:
        x = torch.randn(30, 6, generator=seeded())
        cosine = normalize(x, dim=1) @ normalize(x, dim=1).T
        expected = (1 - cosine)[~torch.eye(30, dtype=torch.bool)].mean()
        assert collapse_gauges(x).mean_distance == pytest.approx(float(expected), abs=1e-6)

    def test_zeros_have_rank_zero(self) -> None:
        assert collapse_gauges(torch.zeros(4, 3)).effective_rank == 0

    def test_refuses_nan_and_single_rows(self) -> None:
        with pytest.raises(ValueError, match="embeddings: 1 of 2 rows hold NaN"):
            collapse_gauges(torch.tensor([[1.0], [torch.nan]]))
        with pytest.raises(ValueError, match=r"N ≥ 2, D\), not \(1, 3\)"):
            collapse_gauges(torch.zeros(1, 3))


class TestDistanceSpread:
    def test_equals_the_standard_deviation_over_the_gallery(self) -> None:
        audio, visual = (torch.randn(90, 8, generator=seeded(s)) for s in (1, 2))
        distance = 1 - normalize(audio.double(), dim=1) @ normalize(visual.double(), dim=1).T
        expected = distance.var(dim=1, correction=0).mean().sqrt()
        assert distance_spread(audio, visual) == pytest.approx(expected.item(), abs=1e-12)

    def test_random_directions_have_one_over_the_root_of_their_dimensions(self) -> None:
        query, gallery = (torch.randn(2000, 64, generator=seeded(s)) for s in (1, 2))
        assert distance_spread(query, gallery) == pytest.approx(1 / 8, rel=0.02)

    def test_is_zero_where_nothing_can_be_retrieved(self) -> None:
        free, point = torch.randn(50, 8, generator=seeded()), torch.ones(50, 8)
        left, right = free.clone(), torch.randn(50, 8, generator=seeded(1))
        left[:, 4:], right[:, :4] = 0, 0
        assert distance_spread(free, point) == pytest.approx(0, abs=1e-7)
        assert distance_spread(left, right) == pytest.approx(0, abs=1e-7)
        assert collapse_gauges(torch.cat([left, right])).mean_distance > 0.5  # looks healthy
