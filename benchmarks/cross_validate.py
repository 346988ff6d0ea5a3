"""Compare settings and methods by cross-validation, without using the test clips.

    python benchmarks/cross_validate.py FEATURES [--config NAME] [--folds N] [--jobs N] \\
        'ours' 'semi-hard-only' 'ours stage2.temperature=0.3 stage2.members=1' ...

Training and validation clips are divided into class-balanced folds, the same for all rows; clips
of one file or source are never divided. Each fold is evaluated once with a model trained on the
others, of which a tenth is kept for validation. A row is a method of ``avcmr compare`` with any
settings. Its figures are means over the folds of average MAP, ranked by class-posterior similarity
and by cosine; the difference is that of the first figure from the first row's, fold by fold, with
its standard error.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from avcmr.comparison.baselines.method import average_map
from avcmr.comparison.registry import all_methods, check_names
from avcmr.config_files import load_config, preset
from avcmr.features.dataset import PairedFeatures, load_dataset, open_features
from avcmr.features.provenance import clips_of
from avcmr.features.units import units_of
from preprocessing.catalog.splits import balanced_folds, stratified_split, with_sources
from preprocessing.clips import Clip


def learning_clips(features: Path, config: Path) -> PairedFeatures:
    """Training and validation clips as one."""
    dataset = load_dataset(features, load_config(config).data)
    train, val = dataset.train, dataset.val
    return PairedFeatures(
        ids=train.ids + val.ids,
        audio=torch.cat([train.audio, val.audio]),
        visual=torch.cat([train.visual, val.visual]),
        labels=torch.cat([train.labels, val.labels]),
    )


def origins(features: Path, config: Path) -> dict[str, Clip]:
    """Id of each clip or unit → its clip, with a source that ties it to others of one origin."""
    unit = load_config(config).data.unit
    with open_features(features) as source:
        units = units_of(source, features, unit)
        clips = {clip.id: clip for clip in with_sources(list(clips_of(source).values()))}
    return {
        id_: replace(clips[owner], id=id_, source=clips[owner].source or owner)
        for id_, owner in zip(units.ids, units.owners, strict=True)
    }


def divided(
    members: Sequence[Clip], fold: int, folds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the clips for training, validation and test; none of one origin are in two."""
    held_out = balanced_folds(members, folds=folds) == fold
    kept = np.flatnonzero(~held_out)
    rest = [members[row] for row in kept.tolist()]
    parts = stratified_split(rest, val=0.1, test=0, seed=fold)
    is_val = np.array([part == "val" for part in parts])
    return kept[~is_val], kept[is_val], np.flatnonzero(held_out)


def measure(
    clips: PairedFeatures, members: Sequence[Clip], row: str, config: Path, fold: int, folds: int
) -> tuple[float, float]:
    """Average MAP on a fold, ranked by class-posterior similarity and by cosine."""
    torch.set_num_threads(1)
    name, *overrides = row.split()
    train, val, test = (clips[rows] for rows in divided(members, fold, folds))
    with tempfile.TemporaryDirectory() as folder:
        method = all_methods(Path(folder))[name]
        choice = method.learn(train, val, load_config(config, [*overrides, f"seed={fold}"]))
    return average_map(choice.by_posterior, test), average_map(choice.by_cosine, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("rows", nargs="+", help="a method, and settings after it")
    parser.add_argument("--config", default="ave")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    config = preset(arguments.config)
    for name, *overrides in map(str.split, arguments.rows):
        check_names([name])
        load_config(config, overrides)
    clips = learning_clips(arguments.features, config)
    of_id = origins(arguments.features, config)
    members = [
        replace(of_id[id_], label=str(label))
        for id_, label in zip(clips.ids, clips.labels.tolist(), strict=True)
    ]
    print(f"{len(clips)} clips in {arguments.folds} folds, {arguments.config}")
    print("posterior  cosine  difference        settings")
    first: list[float] = []
    for row in arguments.rows:
        found = Parallel(n_jobs=arguments.jobs)(
            delayed(measure)(clips, members, row, config, fold, arguments.folds)
            for fold in range(arguments.folds)
        )
        by_posterior, by_cosine = zip(*found, strict=True)
        first = first or list(by_posterior)
        differences = [one - other for one, other in zip(by_posterior, first, strict=True)]
        error = stdev(differences) / sqrt(len(differences))
        print(
            f"{mean(by_posterior):9.4f}  {mean(by_cosine):6.4f}  "
            f"{mean(differences):+.4f} ±{error:.4f}  {row}",
            flush=True,
        )


if __name__ == "__main__":
    main()
