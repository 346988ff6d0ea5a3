"""The two HDF5 layouts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import SPLITS, Clip, Split
from preprocessing.errors import SetupError
from preprocessing.hdf5 import hdf5_errors, open_hdf5
from preprocessing.interchange.features import Layout, PublishedFeatures
from preprocessing.store import Block, Rows


def hdf5_layout(path: Path) -> Layout | None:
    """``split`` or ``flat``; None for any other file.

    Raises:
        SetupError: it is HDF5, but cannot be read.
    """
    if not h5py.is_hdf5(path):
        return None
    with hdf5_errors(path), open_hdf5(path) as file:
        if "audio_train" in file and "visual_train" in file:
            return "split"
        return "flat" if "audio_feat" in file and "visual_feat" in file else None


def read_hdf5(path: Path, layout: Layout) -> PublishedFeatures:
    """Read features (N, D), one row a clip, or (N, T, D), read as one row per second.

    Datasets ``id_SPLIT`` or ``id`` name the clips, if each has an id of its own; else their rows
    do. Datasets ``source_SPLIT`` or ``source`` name the recordings that clips are from; without
    them clips of one id, or of ids such as ``VIDEO#3`` and ``VIDEO#4``, are from one. An attribute
    ``classes`` names the labels, from 0 on.

    Raises:
        SetupError: it is damaged or incomplete, or contradicts itself.
    """
    with hdf5_errors(path), open_hdf5(path) as file:
        read = _read_split if layout == "split" else _read_flat
        return _assembled(path, layout, *read(path, file), _class_names(path, file))


@dataclass(frozen=True, slots=True)
class _Part:
    """n clips: features (n, D) or (n, T, D), labels (n,); ids and sources if the file has them."""

    audio: NDArray[Any]
    visual: NDArray[Any]
    labels: NDArray[np.int64]
    ids: list[str] | None
    sources: list[str] | None


def _read_split(path: Path, file: h5py.File) -> tuple[list[Split], list[str], _Part]:
    present = [name for name in SPLITS if f"audio_{name}" in file]
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
    splits: list[Split] = []
    parts = {}
    for name in present:
        clips = len(_numbers(path, file, f"visual_{name}"))
        names = (f"{kind}_{name}" for kind in ("audio", "visual", "lab", "id", "source"))
        parts[name] = _read_part(path, file, clips, *names)
        splits += [name] * clips
    rows = [f"{split}/{row}" for row, split in enumerate(splits)]
    return splits, rows, _joined(path, parts)


def _joined(path: Path, parts: dict[Split, _Part]) -> _Part:
    for kind in ("audio", "visual"):
        shapes = {name: getattr(part, kind).shape[1:] for name, part in parts.items()}
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{kind}_{name} of {shape}" for name, shape in shapes.items())
            raise SetupError(
                f"{path}: clips of different shapes ({listed}); all splits must come from one "
                "network: get the whole file, or fix the program that wrote it"
            )
    ids = [part.ids for part in parts.values()]
    sources = [part.sources for part in parts.values()]
    return _Part(
        np.concatenate([part.audio for part in parts.values()]),
        np.concatenate([part.visual for part in parts.values()]),
        np.concatenate([part.labels for part in parts.values()]),
        None if None in ids else [id_ for part in ids for id_ in part or ()],
        None if None in sources else [one for part in sources for one in part or ()],
    )


def _read_flat(path: Path, file: h5py.File) -> tuple[list[Split], list[str], _Part]:
    column = next((name for name in ("Train_test", "Split") if name in file), None)
    if column is None or "Label_ID" not in file:
        absent = "Label_ID" if column else "Train_test (or Split)"
        raise SetupError(
            f"{path}: published layout without {absent}; add it, or get the whole file"
        )
    marks = _numbers(path, file, column)[()].ravel()
    if not np.isin(marks, (0, 1)).all():
        invalid = marks[~np.isin(marks, (0, 1))][0]
        raise SetupError(f"{path}: {column} must be 1 (train) or 0 (test), found {invalid}")
    splits: list[Split] = ["train" if mark else "test" for mark in marks]
    names = ("audio_feat", "visual_feat", "Label_ID", "id", "source")
    rows = [str(row) for row in range(len(splits))]
    return splits, rows, _read_part(path, file, len(splits), *names)


def _read_part(
    path: Path,
    file: h5py.File,
    clips: int,
    audio: str,
    visual: str,
    label: str,
    id_: str,
    source: str,
) -> _Part:
    """The data sets of these names, which must be of so many clips."""
    for kind, name in (("audio", audio), ("visual", visual)):
        found = _numbers(path, file, name)
        if found.ndim not in (2, 3) or len(found) != clips or 0 in found.shape:
            raise SetupError(
                f"{path}: {kind} features must be ({clips}, D) or ({clips}, time, D), not "
                f"{found.shape} ({name}); fix the program that wrote them"
            )
    labels = _numbers(path, file, label)[()].ravel()
    if len(labels) != clips:
        raise SetupError(f"{path}: {len(labels)} labels for {clips} clips ({label}); one each")
    invalid = labels[~(np.isfinite(labels) & (labels == np.rint(labels)) & (labels >= 0))]
    if invalid.size:
        raise SetupError(
            f"{path}: {label} must hold whole numbers from 0 on, that of each clip's class, and "
            f"has {invalid[0]}; correct it, or remove the clip"
        )
    ids, sources = (
        _texts(path, file, name, clips) if name in file else None for name in (id_, source)
    )
    return _Part(file[audio][()], file[visual][()], labels.astype(np.int64), ids, sources)


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    found = file[name]
    if not isinstance(found, h5py.Dataset) or not found.shape:
        what = "a single value" if isinstance(found, h5py.Dataset) else "a group"
        raise SetupError(f"{path}: {name} must be a list with an entry a clip, and is {what}")
    return found


def _numbers(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    found = _dataset(path, file, name)
    if found.dtype.kind not in "biuf":
        raise SetupError(f"{path}: {name} must hold numbers, not {found.dtype}; write it again")
    return found


def _texts(path: Path, file: h5py.File, name: str, clips: int) -> list[str]:
    found = [_text(item) for item in _dataset(path, file, name)[()].ravel().tolist()]
    if len(found) != clips:
        raise SetupError(
            f"{path}: {len(found)} entries for {clips} clips ({name}); correct it or remove it"
        )
    return found


def _text(item: Any) -> str:
    return item.decode(errors="replace") if isinstance(item, bytes) else str(item)


def _class_names(path: Path, file: h5py.File) -> tuple[str, ...]:
    given = np.atleast_1d(file.attrs.get("classes", ()))
    names = tuple(_text(name) for name in given.ravel().tolist())
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SetupError(
            f"{path}: its attribute classes names {', '.join(twice)} more than once; "
            "correct the attribute or remove it"
        )
    return names


def _assembled(
    path: Path,
    layout: Layout,
    splits: Sequence[Split],
    rows: Sequence[str],
    part: _Part,
    names: tuple[str, ...],
) -> PublishedFeatures:
    numbers = part.labels.tolist()
    if names and not 0 <= min(numbers) <= max(numbers) < len(names):
        raise SetupError(
            f"{path}: labels from {min(numbers)} to {max(numbers)}, but {len(names)} names in its "
            "attribute classes, for label 0 and on; correct the attribute or remove it"
        )
    counts = Counter(part.ids or ())
    repeated = tuple(id_ for id_ in part.ids or () if counts[id_] > 1)
    ids = rows if repeated or part.ids is None else part.ids
    sources = part.sources or [_source_of(id_) for id_ in part.ids or [""] * len(rows)]
    clips = tuple(
        Clip(
            id=id_,
            path=path,
            label=names[number] if names else str(number),
            split=split,
            source=source,
        )
        for id_, split, number, source in zip(ids, splits, numbers, sources, strict=True)
    )
    block = Block(visual=_one_row_a_second(part.visual), audio=_one_row_a_second(part.audio))
    return PublishedFeatures(path, layout, clips, names, block, repeated)


def _source_of(id_: str) -> str:
    """The recording that an id names: all of it, or what is before ``#3``, the number of a row."""
    return re.sub(r"#\d+$", "", id_)


def _one_row_a_second(values: NDArray[Any]) -> Rows:
    """(N, D) or (N, T, D) → the rows of N clips."""
    clips, rows = len(values), values.shape[1] if values.ndim == 3 else 1
    with np.errstate(over="ignore"):  # becomes infinity
        values = values.reshape(-1, values.shape[-1]).astype(np.float32)
    return Rows(
        values=values,
        times=np.tile(np.arange(rows) + 0.5, clips),
        offsets=np.arange(clips + 1, dtype=np.int64) * rows,
    )
