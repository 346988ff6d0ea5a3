"""A map of a collection: the embeddings of both modalities in two dimensions, by t-SNE."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from avcmr.retrieval.collection import Collection
from preprocessing.errors import SetupError
from preprocessing.hdf5 import hdf5_errors, open_hdf5

_logger = logging.getLogger(__name__)

_MAX_POINTS = 5000
"""Both modalities together; t-SNE of that many points takes half a minute on one core."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Positions of clips on the map.

    Attributes:
        rows: (M,) int64, of the collection, ascending.
        audio: (M, 2) float32 in [0, 1], of their audio embeddings.
        visual: (M, 2) float32 in [0, 1], of their visual embeddings.
    """

    rows: NDArray[np.int64]
    audio: NDArray[np.float32]
    visual: NDArray[np.float32]


def load_projection(collection: Collection, path: Path | None) -> Projection:
    """The map of a collection, read from ``path`` (HDF5), or computed and saved there."""
    made_from = _fingerprint(collection)
    if path is not None and path.exists():
        try:
            with hdf5_errors(path), open_hdf5(path) as file:
                if file.attrs["made_from"] == made_from:
                    return Projection(file["rows"][()], file["audio"][()], file["visual"][()])
        except SetupError as error:
            _logger.warning("%s; computing the map again", error)
    projection = project(collection)
    if path is not None:
        try:
            _write(path, projection, made_from)
        except OSError as error:
            _logger.warning("%s: the map cannot be saved there (%s)", path, error)
    return projection


def project(collection: Collection, *, seed: int = 0) -> Projection:
    """Both modalities on one map, by t-SNE; of a large collection a random sample."""
    generator = np.random.default_rng(seed)
    count = min(len(collection), _MAX_POINTS // 2)
    rows = np.sort(generator.permutation(len(collection))[:count])
    points = np.concatenate([collection.audio[rows].numpy(), collection.visual[rows].numpy()])
    # Identical embeddings would lead to a division by zero.
    points = points + generator.normal(0, 1e-6, points.shape)
    # The usual perplexity of 30, and less for few points, whose clusters are smaller.
    perplexity = min(30.0, max(5.0, len(points) / 30), (len(points) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    low, high = flat.min(axis=0), flat.max(axis=0)
    flat = ((flat - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
    return Projection(rows, flat[:count], flat[count:])


def _fingerprint(collection: Collection) -> str:
    digest = hashlib.sha256(f"t-SNE of {_MAX_POINTS}".encode())
    for embeddings in (collection.audio, collection.visual):
        digest.update(embeddings.numpy().tobytes())
    return digest.hexdigest()


def _write(path: Path, projection: Projection, made_from: str) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with h5py.File(aside, "w") as file:
        file.attrs["made_from"] = made_from
        file["rows"] = projection.rows
        file["audio"], file["visual"] = projection.audio, projection.visual
    aside.replace(path)
