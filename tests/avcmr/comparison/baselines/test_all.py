"""What holds of every method."""

from pathlib import Path

import pytest
import torch

from avcmr.comparison.ablations import methods as our_methods
from avcmr.comparison.ablations import variants
from avcmr.comparison.baselines.method import Choice, Embedder, Method, average_map
from avcmr.comparison.registry import BASELINES, all_methods
from avcmr.config import Config
from avcmr.config_files import differences, load_config
from avcmr.metrics.metrics import expected_chance

METHODS = (*BASELINES, *our_methods(Path()))


@pytest.fixture(scope="module", params=METHODS, ids=lambda method: method.name)
def fitted(request, train, val, quick, tmp_path_factory) -> tuple[Method, Choice]:
    """Each method, once trained; the global random state as it was."""
    method = all_methods(tmp_path_factory.mktemp("runs"))[request.param.name]
    before = torch.random.get_rng_state()
    choice = method.learn(train, val, quick)
    assert torch.equal(torch.random.get_rng_state(), before)
    return method, choice


def test_beats_chance_on_unseen_clips(fitted, test) -> None:
    method, choice = fitted
    chance = expected_chance(test.labels)
    for embedder in choice:
        reached = average_map(embedder, test)
        if method.category == "chance":
            assert reached == pytest.approx(chance, abs=0.05)
        else:
            assert reached > chance + 0.1


def test_depends_on_the_seed_alone(fitted, train, val, test, quick, tmp_path) -> None:
    name, seeded = fitted[0].name, fitted[0].seeded

    def embeddings(seed: int, folder: str) -> tuple[torch.Tensor, torch.Tensor]:
        fresh = all_methods(tmp_path / folder)[name]
        shorter = load_config(None, ["stage1.max_epochs=3", "stage2.max_epochs=2"])
        config = quick.model_copy(
            update={"seed": seed, "stage1": shorter.stage1, "stage2": shorter.stage2}
        )
        return fresh.learn(train, val, config).by_posterior(test.audio, test.visual)

    first, again, other = embeddings(0, "first"), embeddings(0, "again"), embeddings(1, "other")
    assert all(map(torch.equal, first, again))
    assert all(map(torch.equal, first, other)) == (not seeded)


def test_each_item_is_embedded_from_its_own_modality_alone_or_the_category_says_so(
    fitted, test
) -> None:
    method, choice = fitted
    if method.category != "joint input":
        assert all(isinstance(embedder, Embedder) for embedder in choice)
        return
    embedder = choice.by_posterior
    audio, _ = embedder(test.audio, test.visual)
    with_other_pictures, _ = embedder(test.audio, test.visual.roll(1, dims=0))
    assert not torch.allclose(audio, with_other_pictures)


def test_nothing_is_learned_from_the_clips_asked_for(fitted, test) -> None:
    """Such as their mean: three of them alone are embedded as among all."""
    method, choice = fitted
    embedder = choice.by_posterior
    if method.name == "random":
        return  # noise by definition
    together = embedder(test.audio, test.visual)
    alone = embedder(test.audio[:3], test.visual[:3])
    for all_items, few in zip(together, alone, strict=True):
        torch.testing.assert_close(all_items[:3], few, atol=1e-5, rtol=1e-4)


def test_ablations_have_as_many_epochs_as_our_method() -> None:
    base = load_config(None, ["stage1.max_epochs=7", "stage2.max_epochs=4"])
    for config in variants(base).values():
        assert config.stage1.max_epochs + config.stage2.max_epochs == 11
        assert (config.batch_size, config.data, config.seed) == (256, base.data, 0)


def test_each_ablation_changes_what_its_name_says_and_nothing_else() -> None:
    ours = Config()

    def changed(name: str, *, but: tuple[str, ...] = ()) -> set[str]:
        """The settings that differ from ours, but for those that one of the two does not have."""
        changes = differences(ours, variants(ours)[name])
        keys = {change.partition(":")[0] for change in changes if "–" not in change}
        return {key for key in keys if not key.endswith(but or "-")}

    assert changed("ours") == set()
    assert changed("without-feature-weights") == {"model.feature_weights"}
    assert changed("without-interpolation") == {"stage2.members"}
    assert changed("without-memory-bank") == {"stage2.memory_bank"}
    assert changed("literal-stage-2") == {"stage2.mining"}
    length = ("max_epochs", "patience")
    assert changed("semi-hard-only", but=length) == set()
    assert changed("hard-only", but=length) == {"stage1.mining"}
    assert changed("batch-all", but=length) == {"stage1.mining"}
    for name in ("one-stage", "reversed"):
        assert changed(name, but=length) == (
            {"stage1.mining"} if name == "one-stage" else {"stage1.mining", "stage2.mining"}
        )
    assert {"model.activation", "stage2.learning_rate"} < changed("paper")
    # The ranking is a setting of the whole comparison.
    assert "model.posterior_temperature" not in changed("paper")


def test_ablations_of_other_settings_have_them_where_they_mean_something() -> None:
    base = load_config(None, ["stage1.margin=0.4", "stage2.temperature=0.3"])
    assert variants(base)["reversed"].stage1.temperature == 0.3
    assert variants(base)["reversed"].stage2.margin == 0.4
    assert variants(base)["literal-stage-2"].stage1.margin == 0.4
    assert variants(base)["one-stage"].stage1.temperature == 0.3
    assert variants(base)["hard-only"].stage1.margin == 0.4
