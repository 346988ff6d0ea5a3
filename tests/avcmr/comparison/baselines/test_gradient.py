"""The rivals' training loop: which epoch is kept, when it stops, and with which settings."""

import pytest
import torch

from avcmr.comparison.baselines import cluster_cca
from avcmr.comparison.baselines import method as baselines
from avcmr.comparison.baselines.gradient import budget, fit_by_gradient
from avcmr.comparison.baselines.label_space import Classification
from avcmr.comparison.baselines.method import average_map, with_class_posterior
from avcmr.comparison.baselines.msnsca import MSNSCA
from avcmr.comparison.baselines.tnn_c_cca import SemiHardTriplets
from avcmr.config_files import load_config
from avcmr.model.feature_weights import adjusted_r_squared


@pytest.fixture
def reached(monkeypatch) -> list[float]:
    """Validation MAP of each epoch, by cosine and by posterior in turn."""
    values: list[float] = []

    def recorded(*arguments: object) -> float:
        values.append(average_map(*arguments))
        return values[-1]

    monkeypatch.setattr(baselines, "average_map", recorded)
    return values


@pytest.mark.parametrize("patience", [(1, 1), (15, 15)])
def test_the_best_epoch_on_validation_is_kept(train, val, quick, reached, patience) -> None:
    first, second = (
        stage.model_copy(update={"patience": epochs})
        for stage, epochs in zip((quick.stage1, quick.stage2), patience, strict=True)
    )
    config = quick.model_copy(update={"stage1": first, "stage2": second})
    choice = fit_by_gradient(lambda: Classification(train, config), train, val, config)
    by_cosine, by_posterior = reached[::2], reached[1::2]
    assert average_map(with_class_posterior(choice.by_posterior, train, config), val) == max(
        by_posterior
    )
    assert average_map(choice.by_cosine, val) == max(by_cosine)
    best = by_posterior.index(max(by_posterior)) + 1
    assert len(by_posterior) == min(best + sum(patience), 20)
    audio, visual = choice.by_posterior(val.audio, val.visual)
    again, _ = choice.by_posterior(val.audio, val.visual)
    assert torch.equal(audio, again)  # without dropout
    assert not audio.requires_grad
    assert not visual.requires_grad


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
    std = centred.square().mean().sqrt()
    torch.testing.assert_close(network.visual.scale, (1 / std).expand(train.visual.shape[1]))
    scales = MSNSCA(train, quick, joint=False).visual_scales
    torch.testing.assert_close(scales.mean, train.visual.mean(dim=0))
    torch.testing.assert_close(scales.std, std)
    assert (scales.dropout.p, scales.scales[0][-1].p) == (0.3, 0.5)


def test_features_are_weighted_only_where_a_method_asks_for_it(train, quick) -> None:
    weighted = Classification(train, quick, weighted=True).network.visual.scale
    weights = adjusted_r_squared(train.visual, train.labels)
    torch.testing.assert_close(weighted / weights, (weighted / weights)[:1].expand_as(weighted))
    assert weights.std() > 0.01
    projection = cluster_cca.fit(train, train, quick).by_cosine
    equal = SemiHardTriplets(projection, train, quick).network.visual.scale
    assert torch.equal(equal, equal[:1].expand_as(equal))
