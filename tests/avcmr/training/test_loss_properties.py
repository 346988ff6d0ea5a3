"""Properties of interpolation and losses, on any batch of embeddings."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from avcmr.config import HardStage, SemiHardStage, TripletStage
from avcmr.training.interpolation import convex_combinations, interpolate
from avcmr.training.losses import cross_modal_loss, smooth_hard_loss

DTYPES = st.sampled_from([torch.float32, torch.float64])
CLIPS = st.integers(2, 9)
KINDS = st.sampled_from([SemiHardStage, HardStage])
STAGES = st.builds(
    lambda kind, **settings: kind(**settings),
    KINDS,
    interpolation_points=st.integers(0, 3),
    margin=st.floats(0.01, 1.9),
)


@dataclass(frozen=True)
class Batch:
    """Embeddings of unit length in general position: no two distances are equal."""

    audio: Tensor
    visual: Tensor
    labels: Tensor


@st.composite
def batches(draw) -> Batch:
    clips, generator = draw(CLIPS), torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = draw(DTYPES)
    audio, visual = (
        normalize(torch.randn(clips, 5, generator=generator, dtype=torch.float64), dim=1).to(dtype)
        for _ in range(2)
    )
    labels = draw(arrays(np.int64, clips, elements=st.integers(0, 3)))
    return Batch(audio, visual, torch.from_numpy(labels))


def loss_and_gradient(batch: Batch, stage: TripletStage) -> tuple[float, Tensor]:
    """The loss, and its gradient by the embeddings of both modalities (2, B, D)."""
    leaves = torch.stack([batch.audio, batch.visual]).requires_grad_()
    loss = cross_modal_loss(leaves[0], leaves[1], batch.labels, stage)
    loss.value.backward()
    assert leaves.grad is not None
    return loss.value.item(), leaves.grad


class TestInterpolation:
    @given(batch=batches(), points=st.integers(1, 4))
    def test_synthetics_lie_in_the_hull_of_their_class_before_scaling(self, batch, points) -> None:
        synthetic, labels = interpolate(batch.audio, batch.labels, points=points)
        tolerance = 1e-5 if batch.audio.dtype == torch.float32 else 1e-9
        for row, label in zip(synthetic.double().numpy(), labels, strict=True):
            members = batch.audio[batch.labels == label].double().numpy()
            # Such a direction is a sum of the members whose weights are not negative.
            _, residual = nnls(members.T, row)
            assert residual < tolerance

    @given(batch=batches(), points=st.integers(1, 4), seed=st.integers(0, 99))
    def test_combinations_lie_in_the_hull_of_their_class_before_scaling(
        self, batch, points, seed
    ) -> None:
        synthetic, classes = combinations_of(batch, points, seed)
        assert classes.tolist() == sorted(set(batch.labels.tolist()))
        tolerance = 1e-5 if batch.audio.dtype == torch.float32 else 1e-9
        for label, rows in zip(classes, synthetic.double().numpy(), strict=True):
            members = batch.audio[batch.labels == label].double().numpy()
            for row in rows:
                _, residual = nnls(members.T, row)
                assert residual < tolerance

    @given(batch=batches(), points=st.integers(1, 4), seed=st.integers(0, 99))
    def test_how_classes_lie_between_each_other_does_not_matter_to_combinations(
        self, batch, points, seed
    ) -> None:
        order = batch.labels.argsort(stable=True)
        together = Batch(batch.audio[order], batch.visual[order], batch.labels[order])
        for found, expected in zip(
            combinations_of(together, points, seed),
            combinations_of(batch, points, seed),
            strict=True,
        ):
            assert torch.equal(found, expected)

    @given(batch=batches(), points=st.integers(1, 4), seed=st.integers(0, 99))
    def test_gradients_of_combinations_are_finite_also_where_members_are_opposed(
        self, batch, points, seed
    ) -> None:
        half = len(batch.audio) // 2
        opposed = torch.cat([batch.audio[:half], -batch.audio[:half]]).requires_grad_()
        labels = batch.labels[:half].repeat(2)
        synthetic, _ = combinations_of(Batch(opposed, opposed, labels), points, seed)
        assert bool((synthetic.norm(dim=2) < 1 + 1e-5).all())
        synthetic.sum().backward()
        assert opposed.grad is not None
        assert bool(opposed.grad.isfinite().all())


def combinations_of(batch: Batch, points: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three combinations of each class's audio embeddings."""
    generator = torch.Generator().manual_seed(seed)
    return convex_combinations(
        batch.audio, batch.labels, per_class=3, points=points, generator=generator
    )


@dataclass(frozen=True)
class Smooth:
    """A batch, synthetics of its classes and others, and a temperature."""

    batch: Batch
    synthetic: Tensor
    classes: Tensor
    temperature: float

    def loss_and_gradient(self) -> tuple[float, Tensor]:
        """The loss, and its gradient by the embeddings of both modalities (2, B, D)."""
        leaves = torch.stack([self.batch.audio, self.batch.visual]).requires_grad_()
        loss = smooth_hard_loss(
            leaves[0], leaves[1], self.batch.labels, self.synthetic, self.classes, self.temperature
        )
        loss.value.backward()
        assert leaves.grad is not None
        return loss.value.item(), leaves.grad


@st.composite
def smooth_batches(draw) -> Smooth:
    batch, count = draw(batches()), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    drawn = torch.randn(4, count, 5, generator=generator, dtype=torch.float64)
    synthetic = normalize(drawn, dim=2).to(batch.audio.dtype)
    return Smooth(batch, synthetic, torch.arange(4), draw(st.floats(0.02, 2.0)))


class TestSmoothLoss:
    @given(smooth=smooth_batches(), seed=st.integers(0, 99))
    def test_no_order_matters(self, smooth, seed) -> None:
        """Of the clips, and of a class's synthetics, if all classes have the same."""
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(smooth.batch.labels), generator=generator)
        draws = torch.randperm(smooth.synthetic.shape[1], generator=generator)
        batch = smooth.batch
        shuffled = replace(
            smooth,
            batch=Batch(batch.audio[rows], batch.visual[rows], batch.labels[rows]),
            synthetic=smooth.synthetic[:, draws],
        )
        value, gradient = smooth.loss_and_gradient()
        shuffled_value, shuffled_gradient = shuffled.loss_and_gradient()
        assert shuffled_value == pytest.approx(value, rel=1e-4)
        torch.testing.assert_close(shuffled_gradient, gradient[:, rows], atol=1e-3, rtol=1e-4)

    @given(smooth=smooth_batches())
    def test_the_names_of_the_classes_do_not_matter(self, smooth) -> None:
        batch = smooth.batch
        renamed = replace(
            smooth,
            batch=Batch(batch.audio, batch.visual, 17 - 5 * batch.labels),
            synthetic=smooth.synthetic.flip(0),
            classes=17 - 5 * smooth.classes.flip(0),
        )
        value, _ = smooth.loss_and_gradient()
        assert renamed.loss_and_gradient()[0] == pytest.approx(value, rel=1e-4)

    @given(smooth=smooth_batches())
    def test_it_is_above_zero_and_the_hinge_and_its_gradient_is_finite(self, smooth) -> None:
        value, gradient = smooth.loss_and_gradient()
        hinge = 0.0
        for anchors in (smooth.batch.audio, smooth.batch.visual):
            close = torch.einsum("bd,cmd->bmc", anchors.double(), smooth.synthetic.double())
            own = close[torch.arange(len(close)), :, smooth.batch.labels]  # (B, M)
            hinge += float((close.amax(dim=2) - own).mean()) / smooth.temperature
        assert value > 0
        assert value >= hinge - 1e-3
        assert bool(gradient.isfinite().all())

    @given(smooth=smooth_batches())
    def test_one_class_gives_zero_and_not_nan(self, smooth) -> None:
        batch = smooth.batch
        alone = replace(
            smooth,
            batch=Batch(batch.audio, batch.visual, torch.zeros_like(batch.labels)),
            synthetic=smooth.synthetic[:1],
            classes=smooth.classes[:1],
        )
        value, gradient = alone.loss_and_gradient()
        assert value == 0
        assert bool((gradient == 0).all())


class TestLosses:
    @given(batch=batches(), stage=STAGES, seed=st.integers(0, 99))
    def test_the_order_of_the_batch_does_not_matter(self, batch, stage, seed) -> None:
        order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(seed))
        shuffled = Batch(batch.audio[order], batch.visual[order], batch.labels[order])
        value, gradient = loss_and_gradient(batch, stage)
        shuffled_value, shuffled_gradient = loss_and_gradient(shuffled, stage)
        assert shuffled_value == pytest.approx(value, abs=1e-5)
        torch.testing.assert_close(shuffled_gradient, gradient[:, order], atol=1e-4, rtol=0)

    @given(batch=batches(), stage=STAGES)
    def test_the_names_of_the_classes_do_not_matter(self, batch, stage) -> None:
        renamed = Batch(batch.audio, batch.visual, 17 - 5 * batch.labels)
        value, _ = loss_and_gradient(batch, stage)
        assert loss_and_gradient(renamed, stage)[0] == pytest.approx(value, abs=1e-6)

    @given(batch=batches(), stage=STAGES)
    def test_it_is_never_negative_and_its_gradient_is_finite(self, batch, stage) -> None:
        value, gradient = loss_and_gradient(batch, stage)
        assert value >= 0
        assert bool(gradient.isfinite().all())

    @given(batch=batches(), stage=STAGES)
    def test_one_class_gives_zero_and_not_nan(self, batch, stage) -> None:
        alone = Batch(batch.audio, batch.visual, torch.zeros_like(batch.labels))
        value, gradient = loss_and_gradient(alone, stage)
        assert value == 0
        assert bool((gradient == 0).all())

    @given(
        labels=arrays(np.int64, CLIPS, elements=st.integers(0, 3)),
        kind=KINDS,
        points=st.integers(0, 3),
        margin=st.floats(0.01, 0.99),
        dtype=DTYPES,
    )
    def test_a_perfect_embedding_gives_zero_and_a_zero_gradient(
        self, labels, kind, points, margin, dtype
    ) -> None:
        """Every class in one point, at distance 1 from every other."""
        assume(len(np.unique(labels)) > 1)
        points_of_classes = one_hot(torch.from_numpy(labels), 4).to(dtype)
        stage = kind(interpolation_points=points, margin=margin)
        learned = Batch(points_of_classes, points_of_classes, torch.from_numpy(labels))
        value, gradient = loss_and_gradient(learned, stage)
        assert value == 0
        assert bool((gradient == 0).all())

    @given(batch=batches(), stage=STAGES)
    def test_a_collapsed_batch_has_a_finite_gradient(self, batch, stage) -> None:
        point = batch.audio[:1].expand(len(batch.labels), -1)
        value, gradient = loss_and_gradient(Batch(point, point, batch.labels), stage)
        assert 0 <= value <= 2 * stage.margin + 1e-5
        assert bool(gradient.isfinite().all())
