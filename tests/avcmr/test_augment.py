"""Interpolation against its formula, pair by pair."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from avcmr.augment import interpolate


@pytest.mark.parametrize("points", [1, 2, 5])
def test_every_pair_of_a_class_gives_its_points(points: int) -> None:
    embeddings = normalize(torch.randn(7, 4, dtype=torch.float64), dim=1)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3])
    synthetic, synthetic_labels = interpolate(embeddings, labels, points=points)

    x = embeddings.numpy()
    expected = []
    for i in range(7):
        for j in range(i + 1, 7):
            if labels[i] == labels[j]:
                for k in range(1, points + 1):
                    between = (k * x[i] + (points + 1 - k) * x[j]) / (points + 1)
                    expected.append((int(labels[i]), between / np.linalg.norm(between)))
    assert Counter(synthetic_labels.tolist()) == Counter(label for label, _ in expected)
    for label in (0, 1):
        found = synthetic[synthetic_labels == label].numpy()
        wanted = np.array([value for name, value in expected if name == label])
        nearest = np.abs(found[:, None] - wanted[None]).max(axis=2)
        assert nearest.min(axis=1).max() < 1e-12
        assert nearest.min(axis=0).max() < 1e-12


def test_synthetics_have_unit_length_and_carry_gradients_to_both_ends() -> None:
    raw = torch.randn(3, 5, requires_grad=True)
    synthetic, labels = interpolate(normalize(raw, dim=1), torch.tensor([4, 4, 9]), points=2)
    assert labels.tolist() == [4, 4]
    torch.testing.assert_close(synthetic.norm(dim=1), torch.ones(2))
    synthetic[0, 0].backward()
    assert raw.grad is not None
    assert (raw.grad.abs().sum(dim=1) > 0).tolist() == [True, True, False]


def test_nothing_to_interpolate_gives_nothing() -> None:
    embeddings = normalize(torch.randn(3, 5), dim=1)
    alone, _ = interpolate(embeddings, torch.tensor([0, 1, 2]), points=2)
    none, _ = interpolate(embeddings, torch.tensor([0, 0, 0]), points=0)
    assert alone.shape == none.shape == (0, 5)
