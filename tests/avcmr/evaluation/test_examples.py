"""The best and worst queries are those that sorting each query's results by hand gives."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avcmr.evaluation.examples import RESULTS, SHOWN, examples


@pytest.mark.parametrize("classes", [2, 6])
def test_best_and_worst_of_the_classes(classes: int) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(40) % classes
    centres = draw.normal(size=(classes, 8))[labels]
    query, gallery = (centres + 1.5 * draw.normal(size=(40, 8)) for _ in range(2))
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, gallery)]
    cosine = units[0] @ units[1].T
    precision = [
        average_precision_score(labels == label, row)
        for label, row in zip(labels, cosine, strict=True)
    ]

    found = examples(*map(torch.from_numpy, (query, gallery, labels)))

    def extremes(order: list[int]) -> list[int]:
        chosen: list[int] = []
        for row in order:
            if labels[row] not in labels[chosen]:
                chosen.append(row)
        return chosen[:SHOWN]

    rising = sorted(range(40), key=lambda row: precision[row])
    best = extremes(rising[::-1])
    assert [one.query for one in found.best] == best
    assert [one.query for one in found.worst] == extremes([r for r in rising if r not in best])
    for one in (*found.best, *found.worst):
        assert one.average_precision == pytest.approx(precision[one.query])
        assert list(one.results) == np.argsort(-cosine[one.query])[:RESULTS].tolist()


def test_few_clips() -> None:
    eye, labels = torch.eye(2), torch.tensor([0, 1])
    found = examples(eye, eye, labels)
    assert [(one.query, one.results) for one in found.best] == [(0, (0, 1)), (1, (1, 0))]
    assert found.worst == ()
