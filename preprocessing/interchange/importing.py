"""Published features become a feature store."""

from pathlib import Path

import numpy as np

from preprocessing.interchange.features import PublishedFeatures
from preprocessing.media import Source
from preprocessing.store import Provenance, Record, write_store
from preprocessing.store.plan import source_of


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
    """Seconds of sound; 0 where a single row may be the mean of any number."""
    times = features.block.audio.clip(index).times
    if features.layout != "numpy" and len(times) == 1:
        return 0.0
    return float(times[0] + times[-1])  # the rows' middles, evenly spaced from 0
