"""A feature store in the published layouts."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.catalog.splits import with_sources
from preprocessing.errors import SetupError, UsageError
from preprocessing.hdf5 import text_array
from preprocessing.interchange.features import Layout, PublishedFeatures
from preprocessing.media.types import Source
from preprocessing.store import Block, FeatureStore, Provenance, Record, Rows, write_store
from preprocessing.store.plan import source_of
from preprocessing.store.validate import not_finite, refuse_not_finite

_VISUAL_KEY = "visual"


def export(store: FeatureStore, layout: Layout, out: Path, *, sequences: bool = False) -> None:
    """Write a store's features in a published layout, with ids and class names beside them.

    Args:
        store: the features.
        layout: ``split`` and ``flat`` make one HDF5 file; ``numpy`` makes a folder of all rows,
            with ``manifest.csv`` for ids, labels and splits.
        out: the file or folder, not yet there.
        sequences: in HDF5, write all rows (N, T, D) instead of their means (N, D).

    Raises:
        AvcmrError: ``out`` exists, or the layout cannot hold these clips.
    """
    if out.exists():
        raise SetupError(f"{out}: exists already; choose another --out, or remove it")
    refuse_not_finite(store.path, sorted(not_finite(store.ids.tolist(), store.blocks())))
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
        aside = Path(scratch) / out.name
        if layout == "numpy":
            _write_folder(store, aside)
        else:
            _write_hdf5(store, layout, aside, sequences=sequences)
        aside.rename(out)


def _write_hdf5(store: FeatureStore, layout: Layout, path: Path, *, sequences: bool) -> None:
    without = int((store.splits == "").sum())
    if without:
        raise UsageError(
            f"{store.path}: {without} clips without a split, which the layout {layout} needs; "
            "extract again with a split column in the manifest, or use --layout numpy"
        )
    if layout == "flat" and "val" in store.splits:
        raise UsageError(
            f"{store.path}: the layout flat knows train and test, and no val; use --layout split"
        )
    names = sorted(set(store.labels.tolist()))
    numbers = np.array([names.index(label) for label in store.labels], dtype=np.int64)
    audio, visual = (
        (_sequences(store, "audio"), _sequences(store, "visual"))
        if sequences
        else (store.audio_means, store.visual_means)
    )
    sources = np.array(_sources(store))
    with h5py.File(path, "w") as file:
        file.attrs["classes"] = text_array(names)
        if layout == "flat":
            file["audio_feat"], file["visual_feat"] = audio, visual
            file["Label_ID"] = numbers
            file["Train_test"] = (store.splits == "train").astype(np.int64)
            file["id"] = text_array(store.ids.tolist())
            file["source"] = text_array(sources.tolist())
        else:
            for split in sorted(set(store.splits.tolist())):
                rows = store.splits == split
                file[f"audio_{split}"], file[f"visual_{split}"] = audio[rows], visual[rows]
                file[f"lab_{split}"] = numbers[rows]
                file[f"id_{split}"] = text_array(store.ids[rows].tolist())
                file[f"source_{split}"] = text_array(sources[rows].tolist())


def _sources(store: FeatureStore) -> list[str]:
    """What keeps clips of one origin together; the files that they are from are not exported."""
    return [clip.source for clip in with_sources([record.clip for record in store.records])]


def _sequences(store: FeatureStore, stream: str) -> NDArray[np.float32]:
    """(N, T, D), if all clips have T rows."""
    rows: list[Rows] = [getattr(block, stream) for _, block in store.blocks()]
    counts = np.unique(np.concatenate([np.diff(part.offsets) for part in rows]))
    if len(counts) > 1:
        raise UsageError(
            f"{store.path}: clips have from {counts[0]} to {counts[-1]} {stream} rows, and "
            "--sequences needs as many of each; leave it out for their means, or use "
            "--layout numpy"
        )
    values = np.concatenate([part.values for part in rows])
    return values.reshape(len(store), int(counts[0]), -1)


def _write_folder(store: FeatureStore, folder: Path) -> None:
    names = _file_names(store)
    folder.mkdir()
    for first, block in store.blocks():
        for index in range(len(block.visual.offsets) - 1):
            _write_arrays(folder, names[first + index], block, index)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "id", "split", "source", "event_start", "event_end"])
        events = [["" if np.isnan(time) else time for time in pair] for pair in store.events]
        texts = (store.labels.tolist(), store.ids.tolist(), store.splits.tolist(), _sources(store))
        rows = zip(names, *texts, events, strict=True)
        table.writerows([*cells, *pair] for *cells, pair in rows)


def _write_arrays(folder: Path, name: str, block: Block, index: int) -> None:
    visual, audio = block.visual.clip(index), block.audio.clip(index)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    for key, values in (
        (_VISUAL_KEY, visual.values),
        ("timestamps_ms", 1000 * visual.times),
        ("vggish", audio.values),
    ):
        np.save(target.with_name(f"{target.name}_{key}.npy"), values)


def _file_names(store: FeatureStore) -> Sequence[str]:
    """The ids, if they are usable as paths with unique stems; otherwise running numbers."""
    ids: list[str] = store.ids.tolist()
    paths = [PurePosixPath(id_) for id_ in ids]
    usable = all(not path.is_absolute() and ".." not in path.parts for path in paths)
    stems = {path.stem for path in paths}
    if usable and len(stems) == len(ids) and all(p.name and not p.suffix for p in paths):
        return ids
    return [f"{number:06d}" for number in range(len(ids))]


def import_features(features: PublishedFeatures, out: Path, *, made_by: str | None = None) -> None:
    """Write published features to a new store.

    Args:
        features: what :func:`preprocessing.interchange.read_published` read.
        out: the store, not yet there.
        made_by: how the features were made, for the store's provenance; by default the name of
            their file. Stores made in one way can be merged.

    Raises:
        SetupError: ``out`` exists, or clips share an id.
    """
    provenance = Provenance(
        config={"imported": made_by or features.path.name, "layout": features.layout},
        weights={},
        decoder="none: imported features",
    )
    block = features.block
    shapes = [
        [(rows, stream.values.shape[1]) for rows in np.diff(stream.offsets).tolist()]
        for stream in (block.visual, block.audio)
    ]
    sources: dict[Path, Source] = {}
    records = [
        Record(
            clip=clip,
            source=sources.setdefault(clip.path, source_of(clip.path)),
            duration=_duration(features, index),
            visual=visual,
            audio=audio,
        )
        for index, (clip, visual, audio) in enumerate(zip(features.clips, *shapes, strict=True))
    ]
    write_store(out, provenance, records, features.blocks())


def _duration(features: PublishedFeatures, index: int) -> float:
    """Seconds of audio; 0 where a single row may be a mean over any number of rows."""
    times = features.block.audio.clip(index).times
    if features.layout != "numpy" and len(times) == 1:
        return 0.0
    return float(times[0] + times[-1])  # the rows' middles, evenly spaced from 0
