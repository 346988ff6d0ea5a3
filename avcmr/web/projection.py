"""A map: the embeddings of both modalities in two dimensions, alike ones near each other."""

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

logger = logging.getLogger(__name__)

MAX_POINTS = 5000
"""Of both modalities together; t-SNE of as many takes a core half a minute."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Where clips lie on the map.

    Attributes:
        rows: (M,) int64, of the collection, rising.
        audio: (M, 2) float32 in [0, 1], of their sounds.
        visual: (M, 2) float32 in [0, 1], of their pictures.
    """

    rows: NDArray[np.int64]
    audio: NDArray[np.float32]
    visual: NDArray[np.float32]


def load_projection(collection: Collection, path: Path | None) -> Projection:
    """The map of a collection, made and kept in ``path`` (HDF5) where that has not been done."""
    made_from = _fingerprint(collection)
    if path is not None and path.exists():
        try:
            with h5py.File(path) as file:
                if file.attrs["made_from"] == made_from:
                    return Projection(file["rows"][()], file["audio"][()], file["visual"][()])
        except (OSError, KeyError):
            logger.warning("%s: not a map; made anew", path)
    projection = project(collection)
    if path is not None:
        try:
            _write(path, projection, made_from)
        except OSError as error:
            logger.warning("%s: the map cannot be kept there (%s)", path, error)
    return projection


def project(collection: Collection, *, seed: int = 0) -> Projection:
    """Both modalities on one map, by t-SNE; of a large collection a part, drawn by chance."""
    draw = np.random.default_rng(seed)
    count = min(len(collection), MAX_POINTS // 2)
    rows = np.sort(draw.permutation(len(collection))[:count])
    points = np.concatenate([collection.audio[rows].numpy(), collection.visual[rows].numpy()])
    # Points that collapsed onto one would divide by zero.
    points = points + draw.normal(0, 1e-6, points.shape)
    # Neighbours that count: the usual 30, and fewer of few points, whose groups are smaller.
    perplexity = min(30.0, max(5.0, len(points) / 30), (len(points) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    low, high = flat.min(axis=0), flat.max(axis=0)
    flat = ((flat - low) / np.maximum(high - low, 1e-9)).astype(np.float32)
    return Projection(rows, flat[:count], flat[count:])


def _fingerprint(collection: Collection) -> str:
    digest = hashlib.sha256(f"t-SNE of {MAX_POINTS}".encode())
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
