"""Dropout by its definition; that workers share it is tested with the training."""

import pytest
import torch

from avcmr.model.dropout import SharedDropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_drops_its_share_and_keeps_the_expectation(share: float) -> None:
    torch.manual_seed(0)
    rows = torch.ones(200, 500)
    kept = SharedDropout(share)(rows)
    assert (kept == 0).double().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(kept.unique(), torch.tensor([0, 1 / (1 - share)]))
    assert len({tuple(row.tolist()) for row in kept[:, :64]}) > 1  # rows have masks of their own


def test_changes_nothing_when_evaluating_or_switched_off() -> None:
    rows = torch.randn(4, 5)
    assert torch.equal(SharedDropout(0.5).eval()(rows), rows)
    assert torch.equal(SharedDropout(0.0)(rows), rows)


def test_the_gradient_passes_where_nothing_was_dropped() -> None:
    torch.manual_seed(0)
    rows = torch.ones(8, 16, requires_grad=True)
    kept = SharedDropout(0.5)(rows)
    kept.sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, kept.detach())
