"""Full rankings against scikit-learn, and ties that item order must not decide."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avcmr.metrics import average_precision, evaluate_retrieval


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestAveragePrecision:
    @pytest.mark.parametrize("steps", [None, 10, 2, 1], ids=["distinct", "ties", "two", "equal"])
    @pytest.mark.parametrize("share", [0.5, 0.05])
    def test_equals_scikit_learn(self, steps: int | None, share: float) -> None:
        similarity = torch.rand(40, 70, generator=seeded(1), dtype=torch.float64) * 2 - 1
        if steps is not None:
            similarity = (similarity.abs() * steps).ceil().clamp(1, steps)
        relevant = torch.rand(40, 70, generator=seeded(2)) < share
        relevant[:, 3] = True

        expected = [
            average_precision_score(truth, scores)
            for truth, scores in zip(relevant.numpy(), similarity.numpy(), strict=True)
        ]

        np.testing.assert_allclose(average_precision(similarity, relevant), expected, atol=1e-6)

    def test_single_relevant_item_is_reciprocal_rank(self) -> None:
        similarity = torch.tensor([[0.9, 0.1, 0.5, 0.3]]).expand(4, 4)

        result = average_precision(similarity, torch.eye(4, dtype=torch.bool))

        torch.testing.assert_close(result, torch.tensor([1, 1 / 4, 1 / 2, 1 / 3]).double())

    def test_is_nan_without_relevant_items(self) -> None:
        relevant = torch.tensor([[True, False], [False, False]])
        result = average_precision(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), relevant)
        assert result[0] == 1
        assert result[1].isnan()

    def test_refuses_what_it_cannot_rank(self) -> None:
        relevant = torch.ones(2, 3, dtype=torch.bool)
        with pytest.raises(ValueError, match=r"similarity: 1 of 2 rows hold NaN .* row 1"):
            average_precision(torch.tensor([[0.0, 1, 2], [0, torch.nan, 2]]), relevant)
        with pytest.raises(ValueError, match=r"not \(2, 2\) and \(2, 3\)"):
            average_precision(torch.zeros(2, 2), relevant)
        with pytest.raises(ValueError, match=r"bool, not torch\.int64"):
            average_precision(torch.zeros(2, 3), relevant.long())


class TestTies:
    @pytest.mark.parametrize("noise", [0, 1e-9], ids=["equal", "rounding"])
    def test_collapsed_embeddings_do_not_profit_from_sorted_labels(self, noise: float) -> None:
        labels = torch.arange(3).repeat_interleave(torch.tensor([10, 20, 30]))
        point = torch.randn(16, generator=seeded()).double()
        collapsed = point + noise * labels[:, None] * torch.randn(16, generator=seeded(3))

        result = evaluate_retrieval(collapsed, collapsed, labels, labels, 3, ks=(1, 10, 25))

        shares = torch.tensor([10, 20, 30]).double() / 60
        np.testing.assert_allclose(result.per_class_map, shares)
        np.testing.assert_allclose(result.confusion, shares.expand(3, 3))
        for k, precision in result.precision_at.items():
            assert precision == pytest.approx(result.prevalence)
            assert result.recall_at[k] == pytest.approx(k / 60)

    def test_cutoff_inside_a_tie_takes_the_expectation_over_orders(self) -> None:
        # One item is clearly first and relevant; of the three tied behind it one is.
        query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]] + [[0.0, 1.0]] * 3)
        for labels in ([0, 0, 1, 1], [0, 1, 1, 0]):
            result = evaluate_retrieval(
                query, gallery, torch.tensor([0]), torch.tensor(labels), 2, ks=(1, 2)
            )
            assert result.recall_at == pytest.approx({1: 1 / 2, 2: (1 + 1 / 3) / 2})
            assert result.precision_at == pytest.approx({1: 1, 2: (1 + 1 / 3) / 2})
            np.testing.assert_allclose(result.confusion[0], [2 / 3, 1 / 3])
