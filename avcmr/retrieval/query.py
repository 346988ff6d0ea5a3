"""Features of query files, by the networks that made the features of a collection."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import Kind, Sampling, decode_frames, decode_image, decode_waveform
from preprocessing.media.outcome import Decoded, try_file
from preprocessing.media.sampling import MAX_SECONDS
from preprocessing.networks.extractor import FeatureExtractor, Networks
from preprocessing.store import Provenance


class Decoding(Protocol):
    """How query files are decoded: in this process (``try_file``), or in one with a deadline."""

    def __call__(self, path: Path, decode: Callable[[], Decoded]) -> Decoded | ClipError:
        """The result of ``decode``, which can be pickled, or why the file is unusable."""
        ...


class QueryExtractor:
    """Extracts a query's features exactly as those of the collection were extracted.

    The networks are loaded when first needed. It is thread-safe.

    ``made`` says how they were extracted, if known; ``features`` is their file, for messages. Files
    are decoded by ``decoding``: another process can be stopped when one takes too long.
    """

    def __init__(
        self,
        features: Path,
        made: Provenance | None,
        weights: Path | None,
        device: torch.device,
        *,
        decoding: Decoding = try_file,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._features, self._made = features, made
        self._weights, self._device = weights, device
        self._decoding, self._max_seconds = decoding, max_seconds
        self._loading = threading.Lock()
        self._loaded: tuple[FeatureExtractor, Sampling] | None = None

    def features(self, kind: Kind, path: Path) -> NDArray[np.float32]:
        """The mean audio features (128,) of a sound file or of a video, if ``kind`` is audio.

        Else the mean visual features (D,) of a video, which needs no sound, or of an image.

        Raises:
            ClipError: the file is unusable.
            SetupError: the networks that made the features are not available.
        """
        extractor, sampling = self.load()
        clip = Clip(id="query", path=path, label="")
        if kind == "audio":
            waveform = self._decoded(path, partial(decode_waveform, clip, sampling))
            return _mean(extractor.extract_audio(waveform))
        frames = partial(decode_frames, clip, sampling)
        image = partial(decode_image, path, sampling.frame_size)
        decoded = self._decoded(path, image if kind == "image" else frames)
        return _mean(extractor.extract_visual(decoded))

    def load(self) -> tuple[FeatureExtractor, Sampling]:
        """The networks and how to sample; loaded at the first call.

        Raises:
            SetupError: the networks that made the features are not available.
        """
        with self._loading:
            if self._loaded is None:
                networks, sampling = self._networks()
                sampling = replace(sampling, max_seconds=self._max_seconds)
                self._loaded = FeatureExtractor.load(networks, self._device), sampling
            return self._loaded

    def _networks(self) -> tuple[Networks, Sampling]:
        made = self._made
        try:
            if made is None:
                raise ValueError("its file does not say how it was made")
            networks, sampling = Networks.described(made.config, made.weights, self._weights)
        except (KeyError, ValueError):
            raise SetupError(
                f"{self._features}: not made by avcmr extract, so that no file can go through the "
                "same networks; search with --id, or extract the clips and train on them"
            ) from None
        if networks.describe(sampling) != made.config:
            raise SetupError(
                f"{self._features}: made by another version of avcmr, whose steps were others; "
                "search with --id, or extract the clips again and train on them"
            )
        for name, origin in networks.origins().items():
            if origin != made.weights.get(name):
                raise SetupError(
                    f"{self._features}: made with other weights of {name} than are here (sha256 "
                    f"{made.weights.get(name)} and {origin}); name their folder with --weights DIR"
                )
        return networks, sampling

    def _decoded(self, path: Path, decode: Callable[[], Decoded]) -> Decoded:
        outcome = self._decoding(path, decode)
        if isinstance(outcome, ClipError):
            raise outcome
        return outcome


def _mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Summed in float64, as in the feature store."""
    mean: NDArray[np.float64] = rows.mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)
