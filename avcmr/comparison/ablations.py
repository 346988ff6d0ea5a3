"""Our method and its ablations, as methods to compare.

Each ablation is our own training with one thing changed, in a run folder of its own, from which it
resumes if it was stopped. All have the same limit of epochs.
"""

from functools import partial
from pathlib import Path

import torch

from avcmr.comparison.baselines.gradient import budget
from avcmr.comparison.baselines.method import Choice, Embedder, Method
from avcmr.config import BatchAllStage, Config, HardStage, SmoothHardStage, Stage
from avcmr.config_files import load_config, preset
from avcmr.features.dataset import Dataset, PairedFeatures, fingerprint
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network

_ENSEMBLE = 5
"""Runs of our method that ``ours-ensemble`` joins."""

_SOURCE = "Zeng & Ikeda 2023 (abstract)"


def variants(base: Config) -> dict[str, Config]:
    """Our method's settings and those of each ablation, by name; each changes one thing.

    The exception is ``paper``, which changes everything that our earlier code had otherwise.
    """
    epochs, patience = budget(base)
    alone = {"max_epochs": epochs, "patience": patience}
    first, second = base.stage1, base.stage2
    smooth = isinstance(second, SmoothHardStage)
    skipped = second.model_copy(update={"max_epochs": 0})

    def changed(**sections: object) -> Config:
        return base.model_copy(update=sections)

    return {
        "ours": base,
        "without-feature-weights": changed(
            model=base.model.model_copy(update={"feature_weights": 0.0})
        ),
        "without-interpolation": changed(
            stage2=second.model_copy(
                update={"members": 1} if smooth else {"interpolation_points": 0}
            )
        ),
        "without-memory-bank": changed(  # only smooth hard triplets have one
            stage2=second.model_copy(update={"memory_bank": False} if smooth else {})
        ),
        "literal-stage-2": changed(stage2=_mining(HardStage, second, interpolation_points=2)),
        "reversed": changed(stage1=_in_place_of(first, second), stage2=_in_place_of(second, first)),
        "one-stage": changed(
            stage1=_in_place_of(first, second).model_copy(update=alone), stage2=skipped
        ),
        "semi-hard-only": changed(stage1=first.model_copy(update=alone), stage2=skipped),
        "hard-only": changed(stage1=_mining(HardStage, first, **alone), stage2=skipped),
        "batch-all": changed(stage1=_mining(BatchAllStage, first, **alone), stage2=skipped),
        "paper": _paper(base),
    }


def methods(folder: Path) -> tuple[Method, ...]:
    """Our method and its ablations; :func:`run_folders` are in ``folder``."""
    ours = partial(Method, category="ours", source=_SOURCE)
    return (
        *(ours(name, fit=partial(_fit, name, folder)) for name in variants(Config())),
        ours("ours-ensemble", fit=partial(_fit_ensemble, folder), seeded=False),
    )


def run_folders(folder: Path, name: str, seed: int) -> list[RunFolder]:
    """The run folders of our method or an ablation; none for other methods."""
    if name == "ours-ensemble":
        return [RunFolder(folder / f"{name}-{member}") for member in range(_ENSEMBLE)]
    return [RunFolder(folder / f"{name}-{seed}")] if name in variants(Config()) else []


def _mining(kind: type[Stage], stage: Stage, **changes: object) -> Stage:
    """A stage with other triplets; the settings that both have are kept."""
    kept = stage.model_dump(include=set(kind.model_fields) - {"mining"})
    return kind.model_validate(kept | changes)


def _in_place_of(place: Stage, stage: Stage) -> Stage:
    """A stage at another place in the order, which has a learning rate and length of its own."""
    return stage.model_copy(update=_length(place) | {"learning_rate": place.learning_rate})


def _length(stage: Stage) -> dict[str, int]:
    return {"max_epochs": stage.max_epochs, "patience": stage.patience}


def _paper(base: Config) -> Config:
    """All of ``configs/paper.yaml`` but its epochs and its ranking, which all methods share."""
    paper = load_config(preset("paper"))
    ranking = {"posterior_temperature": base.model.posterior_temperature}
    return base.model_copy(
        update={
            "weight_decay": paper.weight_decay,
            "model": paper.model.model_copy(update=ranking),
            "stage1": paper.stage1.model_copy(update=_length(base.stage1)),
            "stage2": paper.stage2.model_copy(update=_length(base.stage2)),
        }
    )


def _fit(
    name: str, folder: Path, train_part: PairedFeatures, val: PairedFeatures, config: Config
) -> Choice:
    config = variants(config)[name]
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
    """Train a run, or resume it, and return its best network."""
    dataset = Dataset(
        train=train_part,
        val=val,
        test=val[[]],  # empty: training must not see the test clips
        class_names=tuple(map(str, range(int(train_part.labels.max()) + 1))),
        warnings=(),
        fingerprint=fingerprint(train_part, ["train"] * len(train_part))
        + fingerprint(val, ["val"] * len(val)),
    )
    with run.opened(config, dataset):
        train(dataset, config, run)
    network = trained_network(run)
    return Embedder(network.audio, network.visual)
