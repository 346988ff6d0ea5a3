"""The triplet losses against plain loops."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.config import Stage1Config, Stage2Config, StageConfig
from avcmr.losses import cross_modal_loss, triplet_loss


def batch(
    seed: int, classes: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    audio, visual = (
        normalize(torch.randn(12, 6, dtype=torch.float64, generator=generator), dim=1).to(dtype)
        for _ in range(2)
    )
    return audio, visual, torch.randint(0, classes, (12,), generator=generator)


def looped(audio: Tensor, visual: Tensor, labels: Tensor, stage: StageConfig) -> float:
    """The definition, one triplet at a time."""
    y = labels.tolist()
    total = 0.0
    for anchors, candidates in (
        (audio.numpy(), visual.numpy()),
        (visual.numpy(), audio.numpy()),
    ):
        negatives = list(zip(candidates, y, strict=True))
        n = stage.interpolation_points
        for i in range(len(y)):
            for j in range(i + 1, len(y)):
                for k in range(1, n + 1):
                    if y[i] == y[j]:
                        between = (k * candidates[i] + (n + 1 - k) * candidates[j]) / (n + 1)
                        negatives.append((between / np.linalg.norm(between), y[i]))
        violations = []
        for anchor, label in zip(anchors, y, strict=True):
            d_pos = [
                1 - anchor @ c for c, other in zip(candidates, y, strict=True) if other == label
            ]
            d_neg = [1 - anchor @ c for c, other in negatives if other != label]
            if stage.mining == "batch_all":
                violations += [d - other + stage.margin for d in d_pos for other in d_neg]
            elif stage.mining == "hard":
                violations.append(max(d_pos) - min(d_neg) + stage.margin)
            else:
                for d in d_pos:
                    beyond = [value for value in d_neg if value > d]
                    if beyond:
                        violations.append(d - min(beyond) + stage.margin)
        active = [value for value in violations if value > 0]
        total += sum(active) / max(len(active), 1)
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("points", [0, 2])
@pytest.mark.parametrize("mining", ["semi_hard", "hard", "batch_all"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_loss_equals_the_definition(
    seed: int, points: int, mining: str, dtype: torch.dtype
) -> None:
    stage = Stage2Config.model_validate(
        {"mining": mining, "interpolation_points": points, "margin": 0.3}
    )
    audio, visual, labels = batch(seed, dtype=dtype)
    loss = cross_modal_loss(audio, visual, labels, stage)
    expected = looped(audio.double(), visual.double(), labels, stage)
    assert loss.value.dtype == dtype
    assert float(loss.value) == pytest.approx(
        expected, abs=1e-12 if dtype == torch.float64 else 1e-5
    )
    assert 0 < loss.active <= loss.triplets


def test_swapping_the_modalities_changes_nothing() -> None:
    audio, visual, labels = batch(0)
    forth = cross_modal_loss(audio, visual, labels, Stage1Config())
    back = cross_modal_loss(visual, audio, labels, Stage1Config())
    torch.testing.assert_close(forth.value, back.value)


def test_interpolation_finds_harder_negatives() -> None:
    audio, visual, labels = batch(3)
    plain = Stage2Config(interpolation_points=0, margin=1.9)
    augmented = Stage2Config(interpolation_points=2, margin=1.9)
    assert (
        cross_modal_loss(audio, visual, labels, augmented).value
        > cross_modal_loss(audio, visual, labels, plain).value
    )


def test_no_triplet_gives_zero_with_a_gradient() -> None:
    raw = torch.randn(4, 3, requires_grad=True)
    embeddings = normalize(raw, dim=1)
    one_class = torch.zeros(4, dtype=torch.int64)
    for stage in (Stage1Config(), Stage2Config()):
        loss = cross_modal_loss(embeddings, embeddings, one_class, stage)
        loss.value.backward(retain_graph=True)
        assert (loss.value.item(), loss.triplets, loss.active) == (0.0, 0, 0)
        assert raw.grad is not None
        assert not raw.grad.isnan().any()


def test_learned_triplets_give_zero() -> None:
    loss = triplet_loss(torch.tensor([0.1, 0.2]), torch.tensor([0.9, 0.8]), margin=0.2)
    assert (float(loss.value), loss.triplets, loss.active) == (0.0, 2, 0)
