"""The triplet losses against plain loops."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from avcmr.config import STAGES, HardStage, SemiHardStage, TripletStage
from avcmr.training.losses import cross_modal_loss, smooth_hard_loss, triplet_loss


def batch(
    seed: int, classes: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    audio, visual = (
        normalize(torch.randn(12, 6, dtype=torch.float64, generator=generator), dim=1).to(dtype)
        for _ in range(2)
    )
    return audio, visual, torch.randint(0, classes, (12,), generator=generator)


def looped(audio: Tensor, visual: Tensor, labels: Tensor, stage: TripletStage) -> float:
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
    stage = STAGES[mining].model_validate({"interpolation_points": points, "margin": 0.3})
    assert isinstance(stage, TripletStage)
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
    forth = cross_modal_loss(audio, visual, labels, SemiHardStage())
    back = cross_modal_loss(visual, audio, labels, SemiHardStage())
    torch.testing.assert_close(forth.value, back.value)


def test_interpolation_finds_harder_negatives() -> None:
    audio, visual, labels = batch(3)
    plain = HardStage(interpolation_points=0, margin=1.9)
    augmented = HardStage(interpolation_points=2, margin=1.9)
    assert (
        cross_modal_loss(audio, visual, labels, augmented).value
        > cross_modal_loss(audio, visual, labels, plain).value
    )


def test_no_triplet_gives_zero_with_a_gradient() -> None:
    raw = torch.randn(4, 3, requires_grad=True)
    embeddings = normalize(raw, dim=1)
    one_class = torch.zeros(4, dtype=torch.int64)
    for stage in (SemiHardStage(), HardStage(interpolation_points=2)):
        loss = cross_modal_loss(embeddings, embeddings, one_class, stage)
        loss.value.backward(retain_graph=True)
        assert (loss.value.item(), loss.triplets, loss.active) == (0.0, 0, 0)
        assert raw.grad is not None
        assert not raw.grad.isnan().any()


def test_learned_triplets_give_zero() -> None:
    loss = triplet_loss(torch.tensor([0.1, 0.2]), torch.tensor([0.9, 0.8]), margin=0.2)
    assert (float(loss.value), loss.triplets, loss.active) == (0.0, 2, 0)


def synthetics(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(4, 3, 6, dtype=torch.float64, generator=generator)
    return normalize(drawn, dim=2), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("temperature", [0.05, 0.3, 2.0])
def test_smooth_hard_loss_is_the_sum_over_its_triplets(
    temperature: float, dtype: torch.dtype
) -> None:
    audio, visual, labels = batch(3, dtype=dtype)
    synthetic, classes = synthetics(4)
    synthetic = synthetic.to(dtype)
    total, active = 0.0, 0
    places = synthetic.double().numpy()
    for anchors in (audio.double().numpy(), visual.double().numpy()):
        for anchor, label in zip(anchors, labels.tolist(), strict=True):
            for m in range(3):
                to_own = 1 - anchor @ places[label, m]
                gaps = [
                    to_own - (1 - anchor @ places[other, m]) for other in range(4) if other != label
                ]
                total += np.log1p(sum(np.exp(gap / temperature) for gap in gaps)) / (12 * 3)
                active += max(gaps) > 0
    found = smooth_hard_loss(audio, visual, labels, synthetic, classes, temperature)
    assert found.value.dtype == dtype
    assert float(found.value) == pytest.approx(total, rel=1e-12 if dtype == torch.float64 else 1e-5)
    assert (found.triplets, found.active) == (2 * 12 * 3, active)


def test_smooth_hard_loss_is_a_cross_entropy_over_proxies() -> None:
    audio, visual, labels = batch(3)
    synthetic, classes = synthetics(4)
    expected = sum(
        cross_entropy(anchors @ synthetic[:, m].T / 0.2, labels) / 3
        for anchors in (audio, visual)
        for m in range(3)
    )
    found = smooth_hard_loss(audio, visual, labels, synthetic, classes, 0.2)
    torch.testing.assert_close(found.value, expected)


def test_as_the_temperature_falls_the_hardest_negative_alone_counts() -> None:
    audio, visual, labels = batch(5)
    synthetic, classes = synthetics(6)
    hinge = 0.0
    for anchors in (audio, visual):
        distance = 1 - torch.einsum("bd,cmd->bmc", anchors, synthetic)
        own = torch.nn.functional.one_hot(labels, 4).bool()[:, None].expand_as(distance)
        nearest = distance.masked_fill(own, torch.inf).amin(dim=2)
        to_own = distance.masked_fill(~own, 0).sum(dim=2)
        hinge += float((to_own - nearest).relu().mean())
    temperature = 1e-4
    found = smooth_hard_loss(audio, visual, labels, synthetic, classes, temperature)
    assert temperature * float(found.value) == pytest.approx(hinge, abs=1e-3)


def test_one_class_alone_teaches_nothing_smoothly() -> None:
    audio, visual, labels = batch(7, classes=1)
    audio.requires_grad_()
    synthetic, classes = synthetics(8)
    found = smooth_hard_loss(audio, visual, labels, synthetic[:1], classes[:1], 0.3)
    found.value.backward()
    assert found.value == 0
    assert audio.grad is not None
    assert (audio.grad == 0).all()
    assert found.active == 0
