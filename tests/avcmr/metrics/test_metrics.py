"""Retrieval metrics against scikit-learn, plain loops, brute force and simulation."""

import json
from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from avcmr.metrics import ranking
from avcmr.metrics.metrics import (
    chance_level,
    evaluate,
    evaluate_retrieval,
    map_prefix_averaged,
    mean_average_precision,
)
from avcmr.metrics.ranking import Ranking


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unbalanced(items: int = 90, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Audio (N, 8), visual (N, 8) and labels (N,) of four classes, one of them with one item."""
    draw = seeded(seed)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), items, True, generator=draw)
    labels[-1] = 3
    centres = torch.randn(4, 8, generator=draw)[labels]
    audio, visual = (centres + 2 * torch.randn(items, 8, generator=draw) for _ in range(2))
    return audio, visual, labels


def ranked_relevance(query: Tensor, gallery: Tensor, labels: Tensor) -> list[list[bool]]:
    """For each query, whether the item at each rank is of its class."""
    cosine = normalize(query.double(), dim=1) @ normalize(gallery.double(), dim=1).T
    order = cosine.argsort(dim=1, descending=True)
    return [[bool(labels[j] == labels[i]) for j in ranks] for i, ranks in enumerate(order.tolist())]


def plain_average_precision(hits: list[bool]) -> float:
    """AP as textbooks write it; 0 without a hit."""
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    return sum(precisions) / len(precisions) if precisions else 0.0


class TestEvaluateRetrieval:
    def test_map_equals_scikit_learn_per_query_and_class(self) -> None:
        audio, visual, labels = unbalanced()
        cosine = normalize(audio.double(), dim=1) @ normalize(visual.double(), dim=1).T
        expected = np.array(
            [
                average_precision_score(labels == label, row)
                for label, row in zip(labels, cosine, strict=True)
            ]
        )

        result = evaluate_retrieval(audio, visual, labels, labels, 5)

        assert result.map == pytest.approx(expected.mean(), abs=1e-6)
        for label in range(4):
            mine = expected[labels.numpy() == label].mean()
            assert result.per_class_map[label] == pytest.approx(mine, abs=1e-6)
        assert np.isnan(result.per_class_map[4])
        assert np.isnan(result.per_class_chance[4])
        assert np.isnan(result.confusion[4]).all()
        assert (result.queries, result.unanswerable) == (90, 0)

    def test_precision_and_recall_equal_plain_loops(self) -> None:
        audio, visual, labels = unbalanced()
        hits = ranked_relevance(audio, visual, labels)

        result = evaluate_retrieval(audio, visual, labels, labels, 4, ks=(7, 1, 90, 91))

        assert list(result.precision_at) == list(result.recall_at) == [1, 7, 90]
        for k in (1, 7, 90):
            precision = np.mean([sum(row[:k]) / k for row in hits])
            recall = np.mean([sum(row[:k]) / sum(row) for row in hits])
            assert result.precision_at[k] == pytest.approx(precision)
            assert result.recall_at[k] == pytest.approx(recall)
        assert result.recall_at[90] == 1
        assert result.precision_at[90] == pytest.approx(result.prevalence)

    def test_precision_curve_equals_plain_loops(self) -> None:
        audio, visual, labels = unbalanced()

        def interpolated(hits: list[bool], percent: int) -> float:
            return max(
                sum(hits[:k]) / k
                for k in range(1, len(hits) + 1)
                if 100 * sum(hits[:k]) >= percent * sum(hits)
            )

        hits = ranked_relevance(audio, visual, labels)
        expected = [np.mean([interpolated(row, percent) for row in hits]) for percent in range(101)]

        result = evaluate_retrieval(audio, visual, labels, labels, 4)

        np.testing.assert_allclose(result.precision_curve, expected)

    def test_confusion_counts_classes_among_the_best(self) -> None:
        audio, visual, labels = unbalanced()
        cosine = normalize(audio.double(), dim=1) @ normalize(visual.double(), dim=1).T
        expected = np.zeros((4, 4))
        for label, row in zip(labels.tolist(), cosine, strict=True):
            relevant = int((labels == label).sum())
            best = labels[row.topk(relevant).indices]
            expected[label] += best.bincount(minlength=4).numpy() / relevant
        expected /= labels.bincount().numpy()[:, None]

        result = evaluate_retrieval(audio, visual, labels, labels, 4)

        np.testing.assert_allclose(result.confusion, expected)
        np.testing.assert_allclose(np.sum(result.confusion, axis=1), 1)

    def test_perfect_embeddings(self) -> None:
        labels = torch.arange(3).repeat_interleave(4)
        corners = one_hot(labels).float()

        result = evaluate_retrieval(corners, corners, labels, labels, 3)

        assert result.map == 1
        assert set(result.precision_curve) == {1}
        np.testing.assert_array_equal(result.confusion, np.eye(3))
        assert result.recall_at[1] == 1 / 4

    def test_does_not_depend_on_chunks_or_item_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        audio, visual, labels = unbalanced()
        visual[10:40] = visual[10]
        whole = evaluate_retrieval(audio, visual, labels, labels, 4)
        shuffled = torch.randperm(90, generator=seeded())
        monkeypatch.setattr(ranking, "PAIRS_RANKED_AT_ONCE", 7 * 90)
        for other in (
            evaluate_retrieval(audio, visual, labels, labels, 4),
            evaluate_retrieval(audio, visual[shuffled], labels, labels[shuffled], 4),
        ):
            assert other.map == pytest.approx(whole.map, abs=1e-12)
            assert other.precision_at == pytest.approx(whole.precision_at)
            np.testing.assert_allclose(other.precision_curve, whole.precision_curve)
            np.testing.assert_allclose(other.confusion, whole.confusion)

    def test_leaves_out_and_counts_queries_without_relevant_items(self) -> None:
        audio, visual, labels = unbalanced()
        kept = labels > 0
        result = evaluate_retrieval(audio, visual[kept], labels, labels[kept], 4)
        expected = evaluate_retrieval(audio[kept], visual[kept], labels[kept], labels[kept], 4)

        assert result.unanswerable == int((labels == 0).sum())
        assert np.isnan(result.per_class_map[0])
        assert np.isnan(result.confusion[0]).all()
        assert (result.map, result.chance) == (expected.map, expected.chance)
        for mean in (mean_average_precision, map_prefix_averaged):
            assert mean(audio, visual[kept], labels, labels[kept]) == pytest.approx(
                mean(audio[kept], visual[kept], labels[kept], labels[kept])
            )
        assert mean_average_precision(audio, visual[kept], labels, labels[kept]) == pytest.approx(
            result.map
        )
        assert result.precision_curve == expected.precision_curve

    def test_refuses_bad_input_by_name(self) -> None:
        audio, visual, labels = unbalanced()
        broken = audio.clone()
        broken[4:6, 2] = torch.nan

        with pytest.raises(ValueError, match=r"query embeddings: 2 of 90 rows .* row 4"):
            evaluate_retrieval(broken, visual, labels, labels, 4)
        with pytest.raises(ValueError, match="gallery embeddings: 2 of 90"):
            evaluate_retrieval(visual, broken, labels, labels, 4)
        with pytest.raises(ValueError, match="visual embeddings: 2 of 90"):
            evaluate(audio, broken, labels, "abcd")
        with pytest.raises(ValueError, match=r"0 … 2, not 0 … 3"):
            evaluate_retrieval(audio, visual, labels, labels, 3)
        with pytest.raises(ValueError, match=r"integers, not torch\.float32"):
            evaluate_retrieval(audio, visual, labels.float(), labels, 4)
        with pytest.raises(ValueError, match="8 dimensions, gallery ones 5"):
            evaluate_retrieval(audio, visual[:, :5], labels, labels, 4)
        with pytest.raises(ValueError, match=r"at least 1, not \[0\]"):
            evaluate_retrieval(audio, visual, labels, labels, 4, ks=[0])
        with pytest.raises(ValueError, match="share no class"):
            evaluate_retrieval(
                audio[:5], visual[:5], torch.zeros(5).long(), torch.ones(5).long(), 2
            )


class TestChance:
    @pytest.mark.parametrize("items", [1, 2, 5, 6])
    def test_equals_brute_force_over_all_rankings(self, items: int) -> None:
        for relevant in range(1, items + 1):
            hits = [True] * relevant + [False] * (items - relevant)
            expected = np.mean([plain_average_precision(list(p)) for p in permutations(hits)])
            assert float(chance_level(torch.tensor(relevant), items)) == pytest.approx(expected)

    def test_equals_simulation(self) -> None:
        labels = torch.arange(3).repeat_interleave(torch.tensor([2, 10, 28]))
        scores = torch.rand(20_000, 40, generator=seeded())
        for label, relevant in enumerate((2, 10, 28)):
            rankings = Ranking.of(scores, (labels == label).expand(20_000, 40))
            simulated = rankings.average_precision().mean()
            expected = chance_level(torch.tensor(relevant), 40)
            assert float(expected) == pytest.approx(float(simulated), abs=4e-3)

    def test_is_averaged_over_queries(self) -> None:
        audio, visual, labels = unbalanced()
        result = evaluate_retrieval(audio, visual, labels, labels, 4)
        counts = labels.bincount()
        expected = chance_level(counts, 90)
        np.testing.assert_allclose(result.per_class_chance, expected)
        assert result.chance == pytest.approx(float((expected * counts).sum() / 90))


class TestPrefixAveraged:
    def test_equals_plain_loop_and_is_inflated(self) -> None:
        audio, visual, labels = unbalanced()
        hits = ranked_relevance(audio, visual, labels)
        expected = np.mean(
            [[plain_average_precision(row[:k]) for k in range(1, 91)] for row in hits]
        )

        result = map_prefix_averaged(audio, visual, labels, labels)

        assert result == pytest.approx(expected)
        assert result > mean_average_precision(audio, visual, labels, labels)

    def test_refuses_disjoint_classes(self) -> None:
        with pytest.raises(ValueError, match="share no class"):
            map_prefix_averaged(
                torch.eye(2), torch.eye(2), torch.tensor([0, 1]), torch.tensor([2, 3])
            )


class TestEvaluate:
    def test_averages_both_directions(self) -> None:
        audio, visual, labels = unbalanced()
        result = evaluate(audio, visual, labels, ["a", "b", "c", "d"])

        there = evaluate_retrieval(audio, visual, labels, labels, 4)
        back = evaluate_retrieval(visual, audio, labels, labels, 4)
        assert (result.audio_to_visual, result.visual_to_audio) == (there, back)
        assert result.average_map == (there.map + back.map) / 2
        assert result.chance == there.chance

    def test_to_dict_survives_strict_json(self) -> None:
        audio, visual, labels = unbalanced()
        result = evaluate(audio, visual, labels, ["a", "b", "c", "d", "absent"])

        plain = result.to_dict()

        assert json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert plain["average_map"] == result.average_map
        assert plain["audio_to_visual"]["per_class_map"][4] is None
        assert plain["audio_to_visual"]["precision_at"]["1"] > 0

    def test_accepts_embeddings_that_carry_gradients(self) -> None:
        audio, visual, labels = unbalanced()
        assert evaluate(audio.requires_grad_(), visual, labels, "abcd").average_map > 0
