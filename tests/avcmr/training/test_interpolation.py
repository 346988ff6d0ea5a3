"""Interpolation against its formula, pair by pair."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from avcmr.training.interpolation import convex_combinations, interpolate


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


def test_combinations_are_normalised_convex_ones_of_their_class() -> None:
    """Members that are axes give their own weights away."""
    members = torch.eye(6, dtype=torch.float64)
    labels = torch.tensor([7, 2, 7, 2, 7, 2])
    synthetic, classes = convex_combinations(
        members, labels, per_class=500, points=2, generator=torch.Generator().manual_seed(0)
    )
    assert classes.tolist() == [2, 7]
    assert synthetic.shape == (2, 500, 6)
    torch.testing.assert_close(synthetic.norm(dim=2), torch.ones(2, 500, dtype=torch.float64))
    for row, label in enumerate(classes):
        assert (synthetic[row, :, labels != label] == 0).all()
    assert (synthetic >= 0).all()
    assert ((synthetic > 0).sum(dim=2) <= 2).all()
    # Drawn with replacement from 3: two different ones in 2 of 3 draws, each as often.
    mixed = (synthetic > 0).sum(dim=2) == 2
    assert 0.6 < mixed.double().mean() < 0.73
    shares = (synthetic > 0).double().mean(dim=1).sum(dim=0)
    torch.testing.assert_close(shares, torch.full((6,), 5 / 9).double(), atol=0.07, rtol=0)
    # Uniform weights: the smaller of two is below a quarter in half of the mixed draws.
    weights = synthetic[mixed] / synthetic[mixed].sum(dim=1, keepdim=True)
    smaller = weights.topk(2, dim=1).values[:, 1]
    assert 0.45 < (smaller < 0.25).double().mean() < 0.55


def test_combinations_of_one_are_members_and_of_many_the_mean() -> None:
    members = normalize(torch.randn(40, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    labels = torch.arange(40) % 2
    draw = torch.Generator().manual_seed(2)
    single, _ = convex_combinations(members, labels, per_class=9, points=1, generator=draw)
    for label in range(2):
        nearest = torch.cdist(single[label], members[labels == label]).min(dim=1).values
        assert nearest.max() < 1e-3
    many, _ = convex_combinations(members, labels, per_class=9, points=20_000, generator=draw)
    means = torch.stack([members[labels == label].mean(dim=0) for label in range(2)])
    cosine = torch.einsum("cmd,cd->cm", many, normalize(means, dim=1))
    assert cosine.min() > 0.99


@pytest.mark.parametrize("gap", [0.0, 1e-8, 1e-3])
def test_between_opposed_embeddings_gradients_are_bounded(gap: float) -> None:
    """Halfway lies next to nothing, which no scaling gives a direction."""
    members = torch.tensor([[1.0, 0.0, gap], [-1.0, 0.0, gap]], requires_grad=True)
    labels = torch.tensor([0, 0])
    synthetic, _ = interpolate(members, labels, points=1)
    synthetic.sum().backward()
    assert members.grad is not None
    assert members.grad.abs().max() <= 100
