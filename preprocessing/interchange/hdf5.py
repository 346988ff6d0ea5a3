"""The two HDF5 layouts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import SPLITS, Clip, Split
from preprocessing.errors import SetupError
from preprocessing.interchange.features import Layout, PublishedFeatures
from preprocessing.store import Block, Rows


def hdf5_layout(path: Path) -> Layout | None:
    """``split`` or ``flat``; None for any other file."""
    try:
        with h5py.File(path) as file:
            if "audio_train" in file and "visual_train" in file:
                return "split"
            return "flat" if "audio_feat" in file and "visual_feat" in file else None
    except OSError:
        return None


def read_hdf5(path: Path, layout: Layout) -> PublishedFeatures:
    """Read features (N, D), one row a clip, or (N, T, D), taken as one row a second.

    Datasets ``id_SPLIT`` or ``id`` name the clips, if each has an id of its own; else their rows
    do. An attribute ``classes`` names the labels, from 0 on.

    Raises:
        SetupError: it is incomplete, or contradicts itself.
    """
    with h5py.File(path) as file:
        return _read_split(path, file) if layout == "split" else _read_flat(path, file)


def _read_split(path: Path, file: h5py.File) -> PublishedFeatures:
    present = [name for name in SPLITS if name and f"audio_{name}" in file]
    absent = [
        f"{kind}_{name}"
        for name in present
        for kind in ("visual", "lab")
        if f"{kind}_{name}" not in file
    ]
    if absent:
        raise SetupError(
            f"{path}: published layout without {', '.join(absent)}; add it, or get the whole file"
        )

    def joined(kind: str) -> NDArray[Any]:
        return np.concatenate([file[f"{kind}_{name}"][()] for name in present])

    splits = [name for name in present for _ in range(len(file[f"audio_{name}"]))]
    rows = [f"{split}/{row}" for row, split in enumerate(splits)]
    ids = _ids(joined("id"), rows) if all(f"id_{name}" in file for name in present) else rows
    return _assembled(
        path, "split", file, ids, splits, joined("audio"), joined("visual"), joined("lab")
    )


def _read_flat(path: Path, file: h5py.File) -> PublishedFeatures:
    column = next((name for name in ("Train_test", "Split") if name in file), None)
    if column is None or "Label_ID" not in file:
        absent = "Label_ID" if column else "Train_test (or Split)"
        raise SetupError(
            f"{path}: published layout without {absent}; add it, or get the whole file"
        )
    marks = np.asarray(file[column][()]).ravel()
    if not np.isin(marks, (0, 1)).all():
        strange = marks[~np.isin(marks, (0, 1))][0]
        raise SetupError(f"{path}: {column} must be 1 (train) or 0 (test), found {strange}")
    splits: list[Split] = ["train" if mark else "test" for mark in marks]
    rows = [str(row) for row in range(len(splits))]
    ids = _ids(file["id"][()], rows) if "id" in file else rows
    columns = (file[name][()] for name in ("audio_feat", "visual_feat", "Label_ID"))
    return _assembled(path, "flat", file, ids, splits, *columns)


def _ids(given: NDArray[Any], rows: list[str]) -> list[str]:
    """The ids that a file gives its clips if each has its own; else the names of their rows."""
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in given.tolist()]
    return texts if len(set(texts)) == len(rows) == len(texts) else rows


def _assembled(
    path: Path,
    layout: Layout,
    file: h5py.File,
    ids: Sequence[str],
    splits: Sequence[Split],
    audio: NDArray[Any],
    visual: NDArray[Any],
    labels: NDArray[Any],
) -> PublishedFeatures:
    block = Block(
        visual=_one_row_a_second(path, "visual", visual, len(ids)),
        audio=_one_row_a_second(path, "audio", audio, len(ids)),
    )
    if labels.size != len(ids):
        raise SetupError(f"{path}: {labels.shape} labels for {len(ids)} clips; one number each")
    names = tuple(str(name) for name in file.attrs.get("classes", ()))
    numbers = labels.astype(np.int64).ravel().tolist()
    if names and not 0 <= min(numbers) <= max(numbers) < len(names):
        raise SetupError(
            f"{path}: labels from {min(numbers)} to {max(numbers)}, but {len(names)} names in its "
            "attribute classes, which are those of label 0 and on; mend the attribute or remove it"
        )
    clips = tuple(
        Clip(id=id_, path=path, label=names[number] if names else str(number), split=split)
        for id_, split, number in zip(ids, splits, numbers, strict=True)
    )
    return PublishedFeatures(path, layout, clips, names, block)


def _one_row_a_second(path: Path, name: str, values: NDArray[Any], clips: int) -> Rows:
    if values.ndim not in (2, 3) or len(values) != clips or 0 in values.shape:
        raise SetupError(
            f"{path}: {name} features must be ({clips}, D) or ({clips}, time, D), "
            f"not {values.shape}"
        )
    rows = values.shape[1] if values.ndim == 3 else 1
    return Rows(
        values=values.reshape(-1, values.shape[-1]).astype(np.float32),
        times=np.tile(np.arange(rows) + 0.5, clips),
        offsets=np.arange(clips + 1, dtype=np.int64) * rows,
    )
