"""The gallery: clips and their embeddings, in memory and as a file.

``runs/NAME/index.h5`` holds a collection and its origin, by which a stale index is recognized.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import SetupError
from preprocessing.hdf5 import DamagedError, hdf5_errors, open_hdf5, read_texts, text_array
from preprocessing.remote import MediaPath, media_path
from preprocessing.store import Provenance

_FORMAT = "avcmr-index"


@dataclass(frozen=True, slots=True)
class Collection:
    """N clips in the embedding space of a run.

    Attributes:
        ids: N clip ids.
        labels: name of each clip's class.
        splits: train, val, test or empty.
        paths: media files, which may be missing; :data:`NO_FILE` where none is known.
        starts: (N,) float64, the second of the file at which each begins; NaN is its beginning.
        ends: (N,) float64, at which it ends; NaN is the file's end.
        audio: (N, D) float32 of unit length, compared by inner product.
        visual: (N, D) float32, likewise.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    paths: tuple[MediaPath, ...]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    audio: Tensor
    visual: Tensor

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns of different lengths: {lengths}")

    def __len__(self) -> int:
        return len(self.ids)

    def clip(self, row: int) -> Clip:
        """The clip of a row."""
        start, end = float(self.starts[row]), float(self.ends[row])
        return Clip(
            id=self.ids[row],
            path=self.paths[row],
            label=self.labels[row],
            start=None if np.isnan(start) else start,
            end=None if np.isnan(end) else end,
        )

    def fingerprint(self) -> str:
        """Identifies the clips, their order and their files."""
        digest = hashlib.sha256()
        for id_, path in zip(self.ids, self.paths, strict=True):
            digest.update(f"{id_}\0{path}\0".encode(errors="surrogateescape"))
        for bounds in (self.starts, self.ends):
            digest.update(bounds.tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Collection({len(self):,} clips, {len(set(self.labels))} classes)"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a collection was built from: the sha256 of the run's best weights, and the features.

    ``mtime`` is in nanoseconds since the epoch; ``made`` says how the features were extracted, if
    known; ``warnings`` are caveats of every result, such as untrained networks.
    """

    checkpoint: str
    features: Path
    size: int
    mtime: int
    made: Provenance | None
    warnings: tuple[str, ...]


def write_collection(path: Path, collection: Collection, origin: Origin) -> None:
    """Write an index (HDF5) atomically."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with h5py.File(aside, "w") as file:
        file.attrs["format"] = _FORMAT
        file.attrs["origin"] = json.dumps(asdict(origin) | {"features": str(origin.features)})
        paths = ["" if media == NO_FILE else str(media) for media in collection.paths]
        for name, texts in (
            ("id", collection.ids),
            ("label", collection.labels),
            ("split", collection.splits),
            ("path", paths),
        ):
            file[name] = text_array(texts)
        file["start"], file["end"] = collection.starts, collection.ends
        file["audio"], file["visual"] = collection.audio.numpy(), collection.visual.numpy()
    aside.replace(path)


def read_origin(path: Path) -> Origin | None:
    """What an index was built from; None where there is no index.

    Raises:
        SetupError: not an index.
    """
    if not path.exists():
        return None
    with _index_errors(path), open_hdf5(path) as file:
        if file.attrs["format"] != _FORMAT:
            raise ValueError(f"it is {file.attrs['format']}")
        stored = json.loads(file.attrs["origin"])
        made, warnings = stored.pop("made"), tuple(stored.pop("warnings"))
        return Origin(
            **stored | {"features": Path(stored["features"])},
            made=Provenance(**made) if made else None,
            warnings=warnings,
        )


def read_collection(path: Path) -> Collection:
    """Read the index that :func:`write_collection` wrote.

    Raises:
        SetupError: not an index.
    """
    with _index_errors(path), open_hdf5(path) as file:
        ids, labels, splits, paths = (
            tuple(read_texts(file[name])) for name in ("id", "label", "split", "path")
        )
        return Collection(
            ids=ids,
            labels=labels,
            splits=splits,
            paths=tuple(media_path(media) for media in paths),
            starts=file["start"][()],
            ends=file["end"][()],
            audio=torch.from_numpy(file["audio"][()]),
            visual=torch.from_numpy(file["visual"][()]),
        )


@contextmanager
def _index_errors(path: Path) -> Iterator[None]:
    try:
        with hdf5_errors(path):
            yield
    except DamagedError as error:
        raise SetupError(
            f"{path}: not an index of avcmr ({error.detail}); remove it and it will be rebuilt"
        ) from None
