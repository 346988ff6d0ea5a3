"""Our method, and what is left of it without each of its parts, as methods to compare.

Each is our own training with some settings changed, in a run folder of its own: TensorBoard shows
its course, and it goes on where it was stopped. All have as many epochs at most.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from avcmr.baselines import Embedder, Method
from avcmr.baselines.gradient import budget
from avcmr.config import Config, StageConfig, load_config, preset
from avcmr.data import Dataset, PairedFeatures, fingerprint
from avcmr.runs import RunFolder
from avcmr.trained import trained_network
from avcmr.training import train

_PLAIN_HARD = {"mining": "hard", "interpolation_points": 0}
"""Batch-hard triplets of the originals."""

ENSEMBLE = 5
"""Runs of our method that ``ours-ensemble`` joins."""

SOURCE = "Zeng & Ikeda 2023 (abstract)"


def variants(base: Config) -> dict[str, Mapping[str, Any]]:
    """Name → what it changes of the base settings, section by section."""
    epochs, patience = budget(base)
    first, second = _triplets(base.stage1), _triplets(base.stage2)
    all_of_it = {"max_epochs": epochs, "patience": patience}
    skipped = {"max_epochs": 0}
    paper = load_config(preset("paper")).model_dump(include={"weight_decay", "model"})
    return {
        "ours": {},
        "semi-hard-only": {"stage1": first | all_of_it, "stage2": skipped},
        "hard-only": {
            "stage1": second | _PLAIN_HARD | all_of_it,
            "stage2": skipped,
        },
        "batch-all": {"stage1": first | {"mining": "batch_all"} | all_of_it, "stage2": skipped},
        "two-stage-plain": {"stage2": _PLAIN_HARD},
        "two-stage-memory": {"stage2": {"members": 1}},
        "one-stage-interpolated": {"stage1": second | all_of_it, "stage2": skipped},
        "reversed": {"stage1": second, "stage2": first},
        "paper": paper | {"stage1": _paper_stage(1), "stage2": _paper_stage(2)},
    }


def methods(folder: Path) -> tuple[Method, ...]:
    """Our method and its ablations, whose run folders are ``folder/NAME-SEED``."""
    return (
        *(Method(name, "ours", SOURCE, partial(_fit, name, folder)) for name in variants(Config())),
        Method("ours-ensemble", "ours", SOURCE, partial(_fit_ensemble, folder), seeded=False),
    )


def _triplets(stage: StageConfig) -> dict[str, Any]:
    """What a stage learns from; its rate and length belong to its place in the order."""
    return stage.model_dump(exclude={"learning_rate", "max_epochs", "patience"})


def _paper_stage(number: int) -> dict[str, Any]:
    config = load_config(preset("paper"))
    stage = config.stage1 if number == 1 else config.stage2
    return _triplets(stage) | {"learning_rate": stage.learning_rate}


def _changed(base: Config, changes: Mapping[str, Any]) -> Config:
    settings = base.model_dump()
    for key, value in changes.items():
        settings[key] = settings[key] | value if isinstance(value, Mapping) else value
    return Config.model_validate(settings)


def _fit(
    name: str, folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Embedder:
    config = _changed(config, variants(config)[name])
    return _trained(folder / f"{name}-{config.seed}", train_part, val, config)


def _fit_ensemble(
    folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Embedder:
    """Our method with several seeds, always the same, as one: embeddings side by side.

    All have unit length, so the cosine of two such rows is the mean of the runs' cosines.
    """
    members = [
        _trained(
            folder / f"ours-ensemble-{seed}",
            train_part,
            val,
            config.model_copy(update={"seed": seed}),
        )
        for seed in range(ENSEMBLE)
    ]
    return Embedder(
        lambda audio: torch.cat([member.audio(audio) for member in members], dim=1),
        lambda visual: torch.cat([member.visual(visual) for member in members], dim=1),
    )


def _trained(
    folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
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
    run = RunFolder(folder)
    run.open(config, dataset)
    train(dataset, config, run)
    network = trained_network(run)
    return Embedder(network.embed_audio, network.embed_visual)
