"""Our method, and what is left of it without each of its parts, as methods to compare.

Each ablation is our own training with one thing changed, in a run folder of its own: TensorBoard
shows its course, and it goes on where it was stopped. All have as many epochs at most.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from avcmr.comparison.baselines.gradient import budget
from avcmr.comparison.baselines.method import Choice, Embedder, Method
from avcmr.config import Config, StageConfig, without_effect
from avcmr.config_files import load_config, preset
from avcmr.features.dataset import Dataset, PairedFeatures, fingerprint
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network

_LITERAL = {"mining": "hard", "interpolation_points": 2}
"""The second stage of the abstract read literally, as in ``configs/paper.yaml``."""

_SKIPPED = {"max_epochs": 0}

ENSEMBLE = 5
"""Runs of our method that ``ours-ensemble`` joins."""

SOURCE = "Zeng & Ikeda 2023 (abstract)"


def variants(base: Config) -> dict[str, Mapping[str, Any]]:
    """Name → what it changes of the base settings, section by section: one thing each.

    The exception is ``paper``, which changes everything that our earlier code had otherwise.
    """
    epochs, patience = budget(base)
    first, second = _triplets(base.stage1), _triplets(base.stage2)
    one_stage = {"max_epochs": epochs, "patience": patience}
    return {
        "ours": {},
        "without-relevance": {"model": {"relevance": 0.0}},
        "without-interpolation": {"stage2": {"members": 1}},
        "without-memory": {"stage2": {"memory": False}},
        "literal-stage-2": {"stage2": _LITERAL},
        "reversed": {"stage1": second, "stage2": first},
        "one-stage": {"stage1": second | one_stage, "stage2": _SKIPPED},
        "semi-hard-only": {"stage1": first | one_stage, "stage2": _SKIPPED},
        "hard-only": {"stage1": first | {"mining": "hard"} | one_stage, "stage2": _SKIPPED},
        "batch-all": {"stage1": first | {"mining": "batch_all"} | one_stage, "stage2": _SKIPPED},
        "paper": _paper(base),
    }


def methods(folder: Path) -> tuple[Method, ...]:
    """Our method and its ablations; :func:`run_folders` are in ``folder``."""
    return (
        *(Method(name, "ours", SOURCE, partial(_fit, name, folder)) for name in variants(Config())),
        Method("ours-ensemble", "ours", SOURCE, partial(_fit_ensemble, folder), seeded=False),
    )


def run_folders(folder: Path, name: str, seed: int) -> list[RunFolder]:
    """Where a method keeps its trainings; nowhere, if it is none of these."""
    if name == "ours-ensemble":
        return [RunFolder(folder / f"{name}-{member}") for member in range(ENSEMBLE)]
    return [RunFolder(folder / f"{name}-{seed}")] if name in variants(Config()) else []


def _triplets(stage: StageConfig) -> dict[str, Any]:
    """What a stage learns from; its rate and length belong to its place in the order."""
    idle = without_effect(stage.mining)
    return stage.model_dump(exclude={"learning_rate", "max_epochs", "patience", *idle})


def _paper(base: Config) -> dict[str, Any]:
    """All of ``configs/paper.yaml`` but its epochs and its search, which all methods share."""
    config = load_config(preset("paper"))
    search = {"posterior_temperature": base.model.posterior_temperature}
    return {
        "weight_decay": config.weight_decay,
        "model": config.model.model_dump() | search,
        "stage1": _triplets(config.stage1) | {"learning_rate": config.stage1.learning_rate},
        "stage2": _triplets(config.stage2) | {"learning_rate": config.stage2.learning_rate},
    }


def variant(base: Config, name: str) -> Config:
    """The settings of our method, or of an ablation, by name; see :func:`variants`."""
    return _changed(base, variants(base)[name])


def _changed(base: Config, changes: Mapping[str, Any]) -> Config:
    settings = base.model_dump()
    for key, value in changes.items():
        settings[key] = settings[key] | value if isinstance(value, Mapping) else value
    for stage in (settings["stage1"], settings["stage2"]):
        for key in without_effect(stage["mining"]):
            del stage[key]
    return Config.model_validate(settings)


def _fit(
    name: str, folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Choice:
    config = variant(config, name)
    (run,) = run_folders(folder, name, config.seed)
    embedder = _trained(run, train_part, val, config)
    return Choice(embedder, embedder)


def _fit_ensemble(
    folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Choice:
    """Our method with several seeds, always the same, as one: embeddings side by side.

    All have unit length, so the cosine of two such rows is the mean of the runs' cosines.
    """
    members = [
        _trained(run, train_part, val, config.model_copy(update={"seed": seed}))
        for seed, run in enumerate(run_folders(folder, "ours-ensemble", config.seed))
    ]
    embedder = Embedder(
        lambda audio: torch.cat([member.audio(audio) for member in members], dim=1),
        lambda visual: torch.cat([member.visual(visual) for member in members], dim=1),
    )
    return Choice(embedder, embedder)


def _trained(
    run: RunFolder, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Embedder:
    """The best network of a run, which goes on where it was stopped."""
    dataset = Dataset(
        train=train_part,
        val=val,
        test=val[[]],  # nothing: training must not see the test clips, and so it cannot
        class_names=tuple(map(str, range(int(train_part.labels.max()) + 1))),
        warnings=(),
        fingerprint=fingerprint(train_part, ["train"] * len(train_part))
        + fingerprint(val, ["val"] * len(val)),
    )
    run.open(config, dataset)
    train(dataset, config, run)
    network = trained_network(run)
    return Embedder(network.audio, network.visual)
