"""Where the clips of a feature file are, and how their features were made."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avcmr.features.units import Features, Units
from preprocessing.clips import NO_FILE, Clip
from preprocessing.interchange import PublishedFeatures
from preprocessing.store import Provenance


def provenance_of(source: Features) -> Provenance | None:
    """How the features were made; None if their file does not say."""
    return None if isinstance(source, PublishedFeatures) else source.provenance


def clips_of(source: Features) -> dict[str, Clip]:
    """Id → clip; its path is :data:`NO_FILE` if the features were not extracted from media."""
    if isinstance(source, PublishedFeatures):
        clips = source.clips
    else:
        clips = tuple(record.clip for record in source.records)
    made = provenance_of(source)
    if made is None or "imported" in made.config:  # the paths are of feature arrays
        clips = tuple(replace(clip, path=NO_FILE) for clip in clips)
    return {clip.id: clip for clip in clips}


def clips_of_units(source: Features, units: Units) -> dict[str, Clip]:
    """Id of each unit → the clip that spans it in its file."""
    clips = clips_of(source)
    owners = [clips[owner] for owner in units.owners]
    starts, ends = seconds_of_file(owners, units.spans)
    return {
        id_: replace(owner, id=id_, start=_known(start), end=_known(end))
        for id_, owner, start, end in zip(
            units.ids, owners, starts.tolist(), ends.tolist(), strict=True
        )
    }


def seconds_of_file(
    clips: Iterable[Clip], spans: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start and end of each unit in its file in seconds, (N,) each; ``spans`` are within clips."""
    cuts = np.array([(clip.start, clip.end) for clip in clips], dtype=np.float64).reshape(-1, 2)
    inside = np.nan_to_num(cuts[:, :1]) + spans
    starts, ends = np.where(np.isnan(spans), cuts, inside).T
    return starts, ends


def _known(second: float) -> float | None:
    return None if np.isnan(second) else second
