"""The rivals' training loop: which epoch is kept, when it stops, and with which settings."""

import pytest
import torch

from avcmr.baselines import gradient, validation_map
from avcmr.baselines.gradient import budget, fit_by_gradient
from avcmr.baselines.label_space import Classification
from avcmr.config import load_config


@pytest.fixture
def reached(monkeypatch) -> list[float]:
    """Validation MAP of each epoch, as the loop sees it."""
    values: list[float] = []

    def recorded(*arguments: object) -> float:
        values.append(validation_map(*arguments))
        return values[-1]

    monkeypatch.setattr(gradient, "validation_map", recorded)
    return values


@pytest.mark.parametrize("patience", [(1, 1), (15, 15)])
def test_the_best_epoch_on_validation_is_kept(train, val, quick, reached, patience) -> None:
    first, second = (
        stage.model_copy(update={"patience": epochs})
        for stage, epochs in zip((quick.stage1, quick.stage2), patience, strict=True)
    )
    config = quick.model_copy(update={"stage1": first, "stage2": second})
    learner = fit_by_gradient(lambda: Classification(train, config), train, val, config)
    assert validation_map(learner.searched(train, config), val) == max(reached)
    best = reached.index(max(reached)) + 1
    assert len(reached) == min(best + sum(patience), 20)
    assert not learner.training
    assert not any(weights.requires_grad for weights in learner.parameters())


def test_epochs_and_patience_are_those_of_both_stages() -> None:
    settings = ["stage1.max_epochs=7", "stage2.max_epochs=4", "stage1.patience=3"]
    assert budget(load_config(None, settings)) == (11, 13)


def test_rivals_have_the_network_and_scaling_of_our_method(train, quick) -> None:
    torch.manual_seed(0)
    network = Classification(train, quick).network
    assert [type(layer).__name__ for layer in network.audio.layers] == [
        *("SharedDropout", "Linear", "GELU", "SharedDropout", "Linear")
    ]
    assert [layer.p for layer in network.audio.layers if hasattr(layer, "p")] == [0.3, 0.5]
    torch.testing.assert_close(network.visual.mean, train.visual.mean(dim=0))
    centred = train.visual - train.visual.mean(dim=0)
    torch.testing.assert_close(network.visual.deviation, centred.square().mean().sqrt())
