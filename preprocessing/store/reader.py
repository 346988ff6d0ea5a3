"""Read a finished store."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import NotFoundError, SetupError
from preprocessing.media.types import ClipFeatures
from preprocessing.store.blocks import Block
from preprocessing.store.parts import Parts
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import NotAStoreError, StoreFile


class FeatureStore:
    """A store, open for reading; everything is read lazily. A context manager.

    If the store is replaced meanwhile, this one still reads the old file.

    Raises:
        AvcmrError: there is no store at ``path``, it is unfinished, empty or something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise _missing(path)
        self._file = StoreFile(path)
        try:
            self._require_sound()
        except BaseException:
            self.close()
            raise

    def _require_sound(self) -> None:
        if not len(self._file):
            raise _empty(self.path, self._file.failures())
        for fault in self._file.faults():
            remedy = "give another file, or make it again"
            raise NotAStoreError(self.path, f"is damaged: {fault}", remedy)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._file)

    @property
    def provenance(self) -> Provenance:
        """How the features were made."""
        return self._file.provenance

    @cached_property
    def ids(self) -> NDArray[np.str_]:
        """(N,) str, unique."""
        return self._file.clip_column("id").astype(np.str_)

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """(N,) str, names of classes."""
        return self._file.clip_column("label").astype(np.str_)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """(N,) str: train, val, test or empty."""
        return self._file.clip_column("split").astype(np.str_)

    @cached_property
    def events(self) -> NDArray[np.float64]:
        """(N, 2) float64: seconds at which each clip's event begins and ends, NaN if not known."""
        columns = (self._file.clip_column(name) for name in ("event_start", "event_end"))
        return np.stack(list(columns), axis=1)

    @cached_property
    def records(self) -> list[Record]:
        """All that is known of each clip but its features."""
        return self._file.records()

    @cached_property
    def failures(self) -> list[Failure]:
        """The clips that could not be used."""
        return self._file.failures()

    @cached_property
    def _means(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._file.means()

    @property
    def visual_means(self) -> NDArray[np.float32]:
        """(N, D) float32, the mean of each clip's visual rows."""
        return self._means[0]

    @property
    def audio_means(self) -> NDArray[np.float32]:
        """(N, 128) float32, the mean of each clip's audio rows."""
        return self._means[1]

    def blocks(self, clips: int = 256) -> Iterator[tuple[int, Block]]:
        """All rows, in pieces of so many clips: (index of the first, block)."""
        for first in range(0, len(self), clips):
            yield first, self._file.block(first, min(first + clips, len(self)))

    def clip(self, index: int) -> ClipFeatures:
        """All rows of one clip, 0 ≤ index < N, read from the file."""
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of a store with {len(self)}")
        block = self._file.block(index, index + 1)
        record = self.records[index]
        return ClipFeatures(
            block.visual.values,
            block.visual.times,
            block.audio.values,
            block.audio.times,
            record.duration,
            record.source,
            record.damage,
        )

    def __repr__(self) -> str:
        visual, audio = self._file.widths()
        return (
            f"FeatureStore({str(self.path)!r}, clips={len(self)}, "
            f"visual=(T, {visual}), audio=(S, {audio}))"
        )


def _missing(path: Path) -> SetupError | NotFoundError:
    parts = Parts(path)
    waiting: set[str] = set()
    for part in parts.paths():
        try:
            with StoreFile(part) as file:
                waiting.update(file.clip_column("id"))
        except SetupError:  # broken, or merged just now; the writer will see to it
            continue
    if parts.paths():
        return SetupError(
            f"{path} is unfinished: {len(waiting):,} finished clips wait in {parts.folder}; "
            "run the same extract command again to finish it"
        )
    return NotFoundError(f"no feature store at {path}; make one with the extract command")


def _empty(path: Path, failures: list[Failure]) -> SetupError:
    if not failures:
        return SetupError(f"{path} holds no clips; run the extract command on some")
    first = failures[0]
    return SetupError(
        f"{path} holds no clips: all {len(failures):,} failed, the first, {first.clip.id}, as "
        f"{first.reason}: {first.message}; mend them and run the extract command again"
    )
