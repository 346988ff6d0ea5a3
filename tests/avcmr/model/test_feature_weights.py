"""Feature weights against scikit-learn's analysis of variance."""

import numpy as np
import pytest
import torch
from sklearn.feature_selection import f_classif

from avcmr.config import ModelConfig
from avcmr.model.feature_weights import MIN_WEIGHT, adjusted_r_squared
from avcmr.model.network import Branch


def noisy(clips: int, classes: int, dims: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features whose class means lie the farther apart, the later the dimension."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (clips,), generator=generator)
    centres = torch.randn(classes, dims, generator=generator) * torch.linspace(0, 2, dims)
    return centres[labels] + torch.randn(clips, dims, generator=generator), labels


@pytest.mark.parametrize(("clips", "classes"), [(40, 3), (300, 15), (60, 30)])
def test_it_is_the_adjusted_r_squared(clips: int, classes: int) -> None:
    features, labels = noisy(clips, classes, 12)
    present = len(labels.unique())
    ratio, _ = f_classif(features.double().numpy(), labels.numpy())
    explained = ratio * (present - 1) / (ratio * (present - 1) + clips - present)
    adjusted = 1 - (1 - explained) * (clips - 1) / (clips - present)
    expected = np.maximum(adjusted, 0) + MIN_WEIGHT
    np.testing.assert_allclose(adjusted_r_squared(features, labels), expected, rtol=1e-5, atol=1e-6)


def test_noise_has_no_weight_however_many_classes_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(100, 2000, generator=generator), torch.arange(100) % 40
    plain = 1 - 60 / 99  # what 40 means of 100 clips explain of noise, without adjustment
    assert adjusted_r_squared(features, labels).mean() < 0.15 * plain


def test_neither_scale_nor_names_of_classes_matter() -> None:
    features, labels = noisy(80, 4, 6)
    expected = adjusted_r_squared(features, labels)
    torch.testing.assert_close(adjusted_r_squared(features * 1000 - 7, labels), expected)
    torch.testing.assert_close(adjusted_r_squared(features, labels * 3 + 2), expected)


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (torch.full((6, 3), 5.0), torch.arange(6) % 2),  # never varies
        (torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.arange(5)),
        (torch.randn(1, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(1).long()),
    ],
    ids=["constant", "a clip a class", "one clip"],
)
def test_every_dimension_keeps_a_finite_weight(
    features: torch.Tensor, labels: torch.Tensor
) -> None:
    weights = adjusted_r_squared(features, labels)
    assert torch.isfinite(weights).all()
    assert (weights >= MIN_WEIGHT).all()
    branch = Branch(3, ModelConfig())
    branch.fit_scaling(features, labels)
    assert torch.isfinite(branch.eval()(features)).all()


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_branches_see_weighted_features_of_standard_deviation_1(power: float) -> None:
    features, labels = noisy(200, 5, 8)
    branch = Branch(8, ModelConfig(feature_weights=power))
    branch.fit_scaling(features, labels)
    seen = (features - branch.mean) * branch.scale
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.square().mean(), torch.ones(()))
    weights = branch.scale / adjusted_r_squared(features, labels) ** power
    torch.testing.assert_close(weights, weights[:1].expand(8))
