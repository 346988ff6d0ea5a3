"""Paired features of clips in three splits, ready for training."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avcmr.config import DataConfig
from avcmr.features.provenance import clips_of
from avcmr.features.units import Units, units_of
from preprocessing.catalog.splits import stratified_split
from preprocessing.clips import SPLITS, Clip
from preprocessing.errors import NotFoundError, SetupError, UsageError
from preprocessing.interchange import PublishedFeatures, layout_of, read_published
from preprocessing.store import FeatureStore
from preprocessing.store.blocks import usable
from preprocessing.store.validate import refuse_not_finite


@dataclass(frozen=True, slots=True)
class PairedFeatures:
    """Features of N clips; row i of both modalities belongs to the same clip.

    Attributes:
        ids: N clip ids.
        audio: (N, audio_dim) float32, mean over the clip or unit.
        visual: (N, visual_dim) float32, likewise.
        labels: (N,) int64, index into the data set's class names.
    """

    ids: tuple[str, ...]
    audio: Tensor
    visual: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.int64]) -> "PairedFeatures":
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return PairedFeatures(
            ids=tuple(self.ids[row] for row in rows),
            audio=self.audio[index],
            visual=self.visual[index],
            labels=self.labels[index],
        )

    def to(self, device: torch.device) -> "PairedFeatures":
        """The same clips with their tensors on another device."""
        return replace(
            self,
            audio=self.audio.to(device),
            visual=self.visual.to(device),
            labels=self.labels.to(device),
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Train, val and test clips, with the names of their classes.

    Attributes:
        class_names: name of each label.
        warnings: to be shown with any result, such as untrained networks.
        fingerprint: sha256 over all features, labels and splits.
    """

    train: PairedFeatures
    val: PairedFeatures
    test: PairedFeatures
    class_names: tuple[str, ...]
    warnings: tuple[str, ...]
    fingerprint: str

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self.train)} train, {len(self.val)} val, {len(self.test)} test, "
            f"{len(self.class_names)} classes, audio {self.train.audio.shape[1]}-d, "
            f"visual {self.train.visual.shape[1]}-d)"
        )


def load_dataset(path: Path, config: DataConfig) -> Dataset:
    """Read a feature store, or features in one of the published layouts.

    Clips without a split are divided by class, those of one source or file together, as
    ``config`` says; where only the validation split is missing (VEGAS, the published files) it is
    taken from the training split. All units of a clip (``config.unit``) are in the clip's split.

    Raises:
        AvcmrError: not such a file, or one that cannot be trained on.
    """
    units: Units | None = None
    with open_features(path) as source:
        clips, class_names = _clip_means(source)
        splits: list[str] = source.splits.tolist()
        described = clips_of(source)
        warnings = _warnings(source)
        if config.unit != "clip":
            units = units_of(source, path, config.unit)
    if config.classes is not None:
        clips, splits, class_names = _only(config.classes, clips, splits, class_names, path)
    members = [
        replace(described[id_], label=str(label))
        for id_, label in zip(clips.ids, clips.labels.tolist(), strict=True)
    ]
    splits = _complete_splits(members, splits, config, path)
    if units is not None:
        clips, splits = _expanded(clips, splits, units)
        warnings += (units.warning,) if units.warning else ()
    require_finite(path, source, clips.ids, clips.audio.numpy(), clips.visual.numpy())
    parts = {
        name: clips[[row for row, split in enumerate(splits) if split == name]]
        for name in ("train", "val", "test")
    }
    _check_trainable(parts, path)
    return Dataset(
        **parts, class_names=class_names, warnings=warnings, fingerprint=fingerprint(clips, splits)
    )


def require_finite(
    path: Path,
    source: FeatureStore | PublishedFeatures,
    ids: Sequence[str],
    *features: NDArray[np.float32],
) -> None:
    """Raise a SetupError that names the clips (or units) with NaN, infinity or overflow.

    Args:
        path: the file they are from.
        source: what it was opened as.
        ids: N ids.
        features: (N, D) each.
    """
    bad = ~np.logical_and.reduce([usable(rows) for rows in features])
    published = isinstance(source, PublishedFeatures)
    named = [ids[row] for row in np.flatnonzero(bad).tolist()]
    refuse_not_finite(path, named, "import" if published else "subset")


def _check_trainable(parts: Mapping[str, PairedFeatures], path: Path) -> None:
    for name, part in parts.items():
        if len(part) < 2:
            raise SetupError(
                f"{path}: {len(part)} clips in the {name} split; at least 2 are needed. "
                "Extract more clips, or set the split column of the manifest"
            )
    if len(parts["train"].labels.unique()) < 2:
        raise SetupError(
            f"{path}: all training clips are of one class; retrieval needs two or more"
        )


def open_features(path: Path) -> FeatureStore | PublishedFeatures:
    """Open a feature store or published features, for a ``with`` block.

    Raises:
        AvcmrError: neither, or a store that is unfinished or empty.
    """
    return FeatureStore(path) if layout_of(path) is None else read_published(path)


def _clip_means(source: FeatureStore | PublishedFeatures) -> tuple[PairedFeatures, tuple[str, ...]]:
    """The clips' mean features, and the class names: in the file's order, or else sorted."""
    labels: list[str] = source.labels.tolist()
    names = source.class_names if isinstance(source, PublishedFeatures) else ()
    names = names or tuple(sorted(set(labels), key=_number_or_name))
    code = {name: index for index, name in enumerate(names)}
    clips = PairedFeatures(
        ids=tuple(source.ids.tolist()),
        audio=torch.from_numpy(source.audio_means),
        visual=torch.from_numpy(source.visual_means),
        labels=torch.tensor([code[label] for label in labels]),
    )
    return clips, names


def _expanded(
    clips: PairedFeatures, splits: Sequence[str], units: Units
) -> tuple[PairedFeatures, list[str]]:
    """The units of these clips, with the labels and splits of their clips."""
    row_of = {id_: row for row, id_ in enumerate(clips.ids)}
    chosen = [unit for unit, owner in enumerate(units.owners) if owner in row_of]
    rows = [row_of[units.owners[unit]] for unit in chosen]
    expanded = PairedFeatures(
        ids=tuple(units.ids[unit] for unit in chosen),
        audio=torch.from_numpy(units.audio[chosen]),
        visual=torch.from_numpy(units.visual[chosen]),
        labels=clips.labels[torch.tensor(rows)],
    )
    return expanded, [splits[row] for row in rows]


def _number_or_name(label: str) -> tuple[int, str]:
    return (int(label) if label.isdecimal() else -1, label)


def _warnings(source: FeatureStore | PublishedFeatures) -> tuple[str, ...]:
    if isinstance(source, PublishedFeatures):
        return ()
    return tuple(
        f"Made with an UNTRAINED {name}: its weights are random. "
        "These figures show that the pipeline works, not what the method can do."
        for name in source.provenance.untrained
    )


def _only(
    classes: tuple[str, ...],
    clips: PairedFeatures,
    splits: list[str],
    names: tuple[str, ...],
    path: Path,
) -> tuple[PairedFeatures, list[str], tuple[str, ...]]:
    if all(name.isdecimal() for name in names) and not set(names) & set(classes):
        if len(names) != len(classes):
            raise UsageError(
                f"{path}: {len(names)} classes without names, where the settings name "
                f"{len(classes)} (data.classes); they cannot be matched"
            )
        return clips, splits, classes
    absent = [name for name in classes if name not in names]
    if absent:
        raise NotFoundError(
            f"{path}: no class {', '.join(absent)} (data.classes); there are {', '.join(names)}"
        )
    code = {names.index(name): index for index, name in enumerate(classes)}
    rows = [row for row, label in enumerate(clips.labels.tolist()) if label in code]
    kept = clips[rows]
    labels = torch.tensor([code[label] for label in kept.labels.tolist()], dtype=torch.int64)
    return replace(kept, labels=labels), [splits[row] for row in rows], classes


def _complete_splits(
    clips: Sequence[Clip], splits: list[str], config: DataConfig, path: Path
) -> list[str]:
    present = set(splits)
    unknown = sorted(present - {*SPLITS, ""})
    if unknown:
        raise SetupError(
            f"{path}: a split called {unknown[0]!r}, and there are {', '.join(SPLITS)} only; "
            "correct the split column of the manifest and give the same extract command again"
        )
    undivided = present == {""}
    if "" in present and not undivided:
        raise SetupError(
            f"{path}: {splits.count('')} of {len(splits)} clips have no split; "
            "give every row of the manifest one, or none"
        )
    if "val" in present:
        return splits
    divided = [row for row, split in enumerate(splits) if undivided or split == "train"]
    parts = stratified_split(
        [clips[row] for row in divided],
        val=config.val_fraction,
        test=config.test_fraction if undivided else 0,
        seed=config.split_seed,
    )
    completed = list(splits)
    for row, split in zip(divided, parts, strict=True):
        completed[row] = split
    return completed


def fingerprint(clips: PairedFeatures, splits: Sequence[str]) -> str:
    """sha256 over all features, labels, ids and splits."""
    digest = hashlib.sha256()
    for array in (clips.audio, clips.visual, clips.labels):
        digest.update(np.ascontiguousarray(array.numpy()).data)
    rows = "\n".join(map("\t".join, zip(clips.ids, splits, strict=True)))
    digest.update(rows.encode(errors="surrogateescape"))
    return digest.hexdigest()
