"""Full rankings against scikit-learn, and ties that item order must not decide."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avcmr.metrics.metrics import evaluate_retrieval
from avcmr.metrics.ranking import Ranking, average_precisions, cosine_rankings


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

        found = Ranking.of(similarity, relevant).average_precision()
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_single_relevant_item_is_reciprocal_rank(self) -> None:
        similarity = torch.tensor([[0.9, 0.1, 0.5, 0.3]]).expand(4, 4)

        result = Ranking.of(similarity, torch.eye(4, dtype=torch.bool)).average_precision()

        torch.testing.assert_close(result, torch.tensor([1, 1 / 4, 1 / 2, 1 / 3]).double())

    def test_is_nan_without_relevant_items(self) -> None:
        relevant = torch.tensor([[True, False], [False, False]])
        ranking = Ranking.of(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), relevant)
        result = ranking.average_precision()
        assert result[0] == 1
        assert result[1].isnan()


class TestAveragePrecisions:
    """The short way to AP, against scikit-learn and the full ranking."""

    @pytest.mark.parametrize("steps", [None, 3, 1], ids=["distinct", "ties", "two directions"])
    def test_equals_scikit_learn_and_the_ranking(self, steps: int | None) -> None:
        query, gallery = (torch.randn(n, 3, generator=seeded(n)).double() for n in (30, 200))
        if steps is not None:  # directions on a grid: most of them are there several times
            query, gallery = ((x * steps).round().clamp(-steps, steps) for x in (query, gallery))
            query, gallery = (torch.where(x.any(1, keepdim=True), x, 1.0) for x in (query, gallery))
        labels, gallery_labels = (
            torch.randint(0, 4, (n,), generator=seeded(n + 1)) for n in (30, 200)
        )
        labels[7] = 9  # unanswerable

        found = average_precisions(query, gallery, labels, gallery_labels)

        rankings = cosine_rankings(query, gallery, labels, gallery_labels)
        ranked = torch.cat([ranking.average_precision() for _, ranking in rankings])
        torch.testing.assert_close(found, ranked, atol=1e-12, rtol=0, equal_nan=True)
        assert found.isnan().nonzero().tolist() == [[7]]
        cosine = torch.nn.functional.cosine_similarity(query[:, None], gallery, dim=2).numpy()
        expected = [
            average_precision_score(gallery_labels == label, scores.round(7))
            for label, scores in zip(labels, cosine, strict=True)
            if label != 9
        ]
        np.testing.assert_allclose(found[labels != 9], expected, atol=1e-6)

    def test_chunks_of_any_size_give_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        query, gallery = (torch.randn(n, 5, generator=seeded(n)) for n in (23, 40))
        labels, gallery_labels = torch.arange(23) % 3, torch.arange(40) % 3
        whole = average_precisions(query, gallery, labels, gallery_labels)
        monkeypatch.setattr("avcmr.metrics.ranking.PAIRS_SORTED_AT_ONCE", 100)
        assert torch.equal(average_precisions(query, gallery, labels, gallery_labels), whole)


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
