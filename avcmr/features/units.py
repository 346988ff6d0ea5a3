"""The unit of training and retrieval: a clip, each second of it, or the event in it.

A clip's features are rows with times. By default their mean represents the clip. Shorter units
keep what the mean blurs, if a label holds for a part of the clip only, or if moments are to be
retrieved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import UsageError
from preprocessing.interchange import PublishedFeatures
from preprocessing.store import Block, FeatureStore, Rows

Features = FeatureStore | PublishedFeatures


@dataclass(frozen=True, slots=True)
class Units:
    """U units of N clips.

    Attributes:
        owners: id of each unit's clip.
        ids: U ids: the clip's, with ``@second`` appended if a clip has several units.
        audio: (U, audio_dim) float32.
        visual: (U, visual_dim) float32.
        spans: (U, 2) float64, start and end of each unit in seconds from the clip's start; NaN
            where they are the clip's own.
        warning: to be shown with any result; empty if there is none.
    """

    owners: tuple[str, ...]
    ids: tuple[str, ...]
    audio: NDArray[np.float32]
    visual: NDArray[np.float32]
    spans: NDArray[np.float64]
    warning: str = ""


def units_of(source: Features, path: Path, unit: Literal["clip", "second", "event"]) -> Units:
    """Cut the clips of a file into units.

    ``clip``: the mean of all rows. ``second``: each visual row, with the audio row nearest in time.
    ``event``: the mean of the rows centred in the clip's event; if it is too short for any, the
    row nearest to its middle; if no event is known, the mean of the whole clip.

    Raises:
        UsageError: the file has one row per clip, or no events.
    """
    if unit == "clip":
        return _whole(source)
    return _seconds(source, path) if unit == "second" else _events(source, path)


def _whole(source: Features) -> Units:
    ids = tuple(source.ids.tolist())
    nowhere = np.full((len(ids), 2), np.nan)
    return Units(ids, ids, source.audio_means, source.visual_means, spans=nowhere)


def _seconds(source: Features, path: Path) -> Units:
    clip_ids: list[str] = source.ids.tolist()
    owners: list[str] = []
    ids: list[str] = []
    rows: list[tuple[NDArray[Any], ...]] = []
    for index, visual, audio in _clips(source.blocks()):
        nearest = np.abs(audio.times[:, None] - visual.times).argmin(axis=0)  # (T,)
        owners += [clip_ids[index]] * len(visual.times)
        ids += [f"{clip_ids[index]}@{time:g}" for time in visual.times]
        rows.append((audio.values[nearest], visual.values, _around(visual.times)))
    if len(owners) == len(clip_ids):
        raise UsageError(
            f"{path}: has one row a clip, and so no seconds (data.unit); use --unit clip, or "
            "features with all rows, such as avcmr extract makes"
        )
    audio_rows, visual_rows, spans = map(np.concatenate, zip(*rows, strict=True))
    return Units(tuple(owners), tuple(ids), audio_rows, visual_rows, spans)


def _events(source: Features, path: Path) -> Units:
    events = source.events  # (N, 2), NaN where nothing is known
    without = int(np.isnan(events).all(axis=1).sum())
    if without == len(source):
        raise UsageError(
            f"{path}: knows of no events (data.unit); use --unit clip, or name them in the "
            "columns event_start,event_end of the manifest and give the same extract command again"
        )
    audio, visual = np.array(source.audio_means), np.array(source.visual_means)
    for index, visual_rows, audio_rows in _clips(source.blocks()):
        start, end = events[index]
        if not np.isnan([start, end]).all():
            start, end = np.nan_to_num(start), np.nan_to_num(end, nan=np.inf)
            audio[index] = _mean_inside(audio_rows, start, end)
            visual[index] = _mean_inside(visual_rows, start, end)
    warning = f"{without:,} of {len(source):,} clips have no event: their units are whole clips"
    ids = tuple(source.ids.tolist())
    return Units(
        owners=ids,
        ids=ids,
        audio=audio,
        visual=visual,
        spans=events,
        warning=warning if without else "",
    )


def _around(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The span of each row, (T, 2), whose evenly spaced centres are ``times`` (T,)."""
    half = times[0] if len(times) == 1 else (times[1] - times[0]) / 2
    return np.stack([times - half, times + half], axis=1)


def _mean_inside(rows: Rows, start: float, end: float) -> NDArray[np.float32]:
    inside = (rows.times >= start) & (rows.times < end)
    if not inside.any():
        middle = (start + min(end, rows.times[-1])) / 2
        inside = np.arange(len(rows.times)) == np.abs(rows.times - middle).argmin()
    mean: NDArray[np.float64] = rows.values[inside].mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def _clips(blocks: Iterator[tuple[int, Block]]) -> Iterator[tuple[int, Rows, Rows]]:
    """Each clip's index, visual rows and audio rows."""
    for first, block in blocks:
        for index in range(len(block.visual)):
            yield first + index, block.visual.clip(index), block.audio.clip(index)
