"""Paired features of clips, in three splits, ready to train on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avcmr.config import DataConfig
from preprocessing.clips import stratified_split
from preprocessing.errors import SetupError
from preprocessing.store import FeatureStore


@dataclass(frozen=True, slots=True)
class PairedFeatures:
    """N clips; row i of both modalities is of one clip.

    Attributes:
        ids: N clip ids.
        audio: (N, audio_dim) float32, the mean over the clip.
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
        warnings: what a reader of any result must know, such as untrained networks.
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
    """Read a feature store, or a file in one of the layouts of the published feature sets.

    Clips without a split are divided by class and by clip, as ``config`` says; where only the
    validation split is missing (VEGAS, the published files) it is taken from the training split.

    Raises:
        SetupError: not such a file, or one that cannot be trained on.
    """
    if not path.is_file():
        # The store's own message knows of parts that wait for an unfinished extraction.
        with FeatureStore(path):
            raise SetupError(f"{path}: not a file")
    warnings: tuple[str, ...] = ()
    layout = _published_layout(path)
    if layout == "split":
        clips, splits, class_names = _read_split_layout(path)
    elif layout == "flat":
        clips, splits, class_names = _read_flat_layout(path)
    else:
        clips, splits, class_names, warnings = _read_store(path)
    if config.classes is not None:
        clips, splits, class_names = _only(config.classes, clips, splits, class_names, path)
    splits = _complete_splits(clips, splits, config, path)
    parts = {
        name: clips[[row for row, split in enumerate(splits) if split == name]]
        for name in ("train", "val", "test")
    }
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
    return Dataset(
        **parts,
        class_names=class_names or tuple(map(str, range(int(clips.labels.max()) + 1))),
        warnings=warnings,
        fingerprint=fingerprint(clips, splits),
    )


def _read_store(path: Path) -> tuple[PairedFeatures, list[str], tuple[str, ...], tuple[str, ...]]:
    with FeatureStore(path) as store:
        class_names = tuple(sorted(set(store.labels)))
        code = {name: index for index, name in enumerate(class_names)}
        clips = PairedFeatures(
            ids=tuple(store.ids),
            audio=torch.from_numpy(store.audio_means),
            visual=torch.from_numpy(store.visual_means),
            labels=torch.tensor([code[label] for label in store.labels]),
        )
        warnings = tuple(
            f"Made with an UNTRAINED {name}: its weights are random. "
            "These figures show that the pipeline works, not what the method can do."
            for name in store.provenance.untrained
        )
        return clips, list(store.splits), class_names, warnings


def _published_layout(path: Path) -> Literal["split", "flat"] | None:
    try:
        with h5py.File(path) as file:
            if "audio_train" in file and "visual_train" in file:
                return "split"
            return "flat" if "audio_feat" in file and "visual_feat" in file else None
    except OSError:
        return None  # not HDF5 at all: the store says so in its own words


def _read_split_layout(path: Path) -> tuple[PairedFeatures, list[str], tuple[str, ...]]:
    """``audio_SPLIT (N, 128)``, ``visual_SPLIT (N, 1024)``, ``lab_SPLIT``; classes by attribute.

    Features may have time as their second axis, of which the mean is taken.
    """
    with h5py.File(path) as file:
        present = [name for name in ("train", "val", "test") if f"audio_{name}" in file]
        absent = [
            f"{kind}_{name}"
            for name in present
            for kind in ("visual", "lab")
            if f"{kind}_{name}" not in file
        ]
        if absent:
            raise SetupError(f"{path}: published layout without {', '.join(absent)}")

        def joined(kind: str) -> NDArray[np.generic]:
            return np.concatenate([file[f"{kind}_{name}"][()] for name in present])

        splits = [name for name in present for _ in range(len(file[f"audio_{name}"]))]
        ids = [f"{split}/{row}" for row, split in enumerate(splits)]
        clips = _published_clips(path, ids, joined("audio"), joined("visual"), joined("lab"))
        return clips, splits, _class_names(file)


def _read_flat_layout(path: Path) -> tuple[PairedFeatures, list[str], tuple[str, ...]]:
    """``audio_feat``, ``visual_feat``, ``Label_ID``, ``Train_test`` or ``Split`` (1 is train)."""
    with h5py.File(path) as file:
        column = next((name for name in ("Train_test", "Split") if name in file), None)
        if column is None or "Label_ID" not in file:
            absent = "Label_ID" if column else "Train_test (or Split)"
            raise SetupError(f"{path}: published layout without {absent}")
        marks = np.asarray(file[column][()]).ravel()
        if not np.isin(marks, (0, 1)).all():
            strange = marks[~np.isin(marks, (0, 1))][0]
            raise SetupError(f"{path}: {column} must be 1 (train) or 0 (test), found {strange}")
        splits = ["train" if mark else "test" for mark in marks]
        ids = [str(row) for row in range(len(splits))]
        columns = (file[name][()] for name in ("audio_feat", "visual_feat", "Label_ID"))
        return _published_clips(path, ids, *columns), splits, _class_names(file)


def _class_names(file: h5py.File) -> tuple[str, ...]:
    """As an attribute names them; none if it does not."""
    return tuple(str(name) for name in file.attrs.get("classes", ()))


def _published_clips(
    path: Path,
    ids: Sequence[str],
    audio: NDArray[np.generic],
    visual: NDArray[np.generic],
    labels: NDArray[np.generic],
) -> PairedFeatures:
    means = []
    for name, values in (("audio", audio), ("visual", visual)):
        if values.ndim not in (2, 3) or len(values) != len(ids):
            raise SetupError(
                f"{path}: {name} features must be ({len(ids)}, D) or ({len(ids)}, time, D), "
                f"not {values.shape}"
            )
        values = values.astype(np.float32)  # noqa: PLW2901
        means.append(values.mean(axis=1) if values.ndim == 3 else values)
    if labels.size != len(ids):
        raise SetupError(f"{path}: {labels.shape} labels for {len(ids)} clips; one number each")
    return PairedFeatures(
        ids=tuple(ids),
        audio=torch.from_numpy(means[0]),
        visual=torch.from_numpy(means[1]),
        labels=torch.from_numpy(labels.astype(np.int64).ravel()),
    )


def _only(
    classes: tuple[str, ...],
    clips: PairedFeatures,
    splits: list[str],
    names: tuple[str, ...],
    path: Path,
) -> tuple[PairedFeatures, list[str], tuple[str, ...]]:
    if not names:
        numbers, labels = clips.labels.unique(return_inverse=True)
        if len(numbers) != len(classes):
            raise SetupError(
                f"{path}: {len(numbers)} classes without names, where the settings name "
                f"{len(classes)} (data.classes); which they are cannot be told"
            )
        return replace(clips, labels=labels), splits, classes
    absent = [name for name in classes if name not in names]
    if absent:
        raise SetupError(
            f"{path}: no class {', '.join(absent)} (data.classes); there are {', '.join(names)}"
        )
    code = {names.index(name): index for index, name in enumerate(classes)}
    rows = [row for row, label in enumerate(clips.labels.tolist()) if label in code]
    kept = clips[rows]
    labels = torch.tensor([code[label] for label in kept.labels.tolist()], dtype=torch.int64)
    return replace(kept, labels=labels), [splits[row] for row in rows], classes


def _complete_splits(
    clips: PairedFeatures, splits: list[str], config: DataConfig, path: Path
) -> list[str]:
    label_names = [str(label) for label in clips.labels.tolist()]
    present = set(splits)
    if present == {""}:
        return list(
            stratified_split(
                clips.ids,
                label_names,
                val=config.val_fraction,
                test=config.test_fraction,
                seed=config.split_seed,
            )
        )
    if "" in present:
        raise SetupError(
            f"{path}: {splits.count('')} of {len(splits)} clips have no split; "
            "give every row of the manifest one, or none"
        )
    if "val" in present:
        return splits
    training = [row for row, split in enumerate(splits) if split == "train"]
    parts = stratified_split(
        [clips.ids[row] for row in training],
        [label_names[row] for row in training],
        val=config.val_fraction,
        test=0,
        seed=config.split_seed,
    )
    completed = list(splits)
    for row, split in zip(training, parts, strict=True):
        completed[row] = split
    return completed


def fingerprint(clips: PairedFeatures, splits: Sequence[str]) -> str:
    """sha256 over all features, labels, ids and splits."""
    digest = hashlib.sha256()
    for array in (clips.audio, clips.visual, clips.labels):
        digest.update(np.ascontiguousarray(array.numpy()).data)
    digest.update("\n".join(map("\t".join, zip(clips.ids, splits, strict=True))).encode())
    return digest.hexdigest()
