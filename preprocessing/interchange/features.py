"""Features read from a published file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.store import Block

Layout = Literal["split", "flat", "numpy"]


@dataclass(frozen=True)
class PublishedFeatures:
    """N clips of a published file, with the interface of :class:`preprocessing.store.FeatureStore`.

    Attributes:
        path: the file or folder.
        layout: how it is laid out.
        clips: id, label (name of the class, or its number where it has no name), split, and the
            file that holds the clip's visual rows.
        class_names: in the order of the file's labels; empty if it only has numbers.
        block: all rows.
        repeated_ids: ids that several clips share, once per clip; if there are any, clips are
            named by their rows instead.
    """

    path: Path
    layout: Layout
    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    block: Block = field(repr=False)
    repeated_ids: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def ids(self) -> NDArray[np.str_]:
        """(N,) str, unique."""
        return np.array([clip.id for clip in self.clips])

    @property
    def labels(self) -> NDArray[np.str_]:
        """(N,) str."""
        return np.array([clip.label for clip in self.clips])

    @property
    def splits(self) -> NDArray[np.str_]:
        """(N,) str: train, val, test or empty."""
        return np.array([clip.split for clip in self.clips])

    @property
    def events(self) -> NDArray[np.float64]:
        """(N, 2) float64: seconds at which each clip's event begins and ends, NaN if not known."""
        pairs = [(clip.event_start, clip.event_end) for clip in self.clips]
        return np.array(pairs, dtype=np.float64)  # None becomes NaN

    @cached_property
    def visual_means(self) -> NDArray[np.float32]:
        """(N, D) float32, the mean of each clip's visual rows."""
        return self.block.visual.means()

    @cached_property
    def audio_means(self) -> NDArray[np.float32]:
        """(N, 128) float32, the mean of each clip's audio rows."""
        return self.block.audio.means()

    def only(self, clips: Sequence[int]) -> Self:
        """The features of some clips; at least one."""
        block = Block(self.block.visual.take(clips), self.block.audio.take(clips))
        return replace(self, clips=tuple(self.clips[index] for index in clips), block=block)

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """All rows, in pieces: (index of the first clip, block)."""
        yield 0, self.block
