"""The HDF5 layout of one file of the store.

::

    /                  format, version, config (JSON), weights (JSON), decoder
    /clips/            a table, one row per clip
    /visual/           values (ΣT, D) float32, times (ΣT,) float64, offsets (N + 1,) int64,
                       means (N, D) float32
    /audio/            the same, D = 128
    /failures/         a table, one row per clip that could not be used
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.hdf5.texts import ODD_BYTES, text_array
from preprocessing.media.damage import Damage
from preprocessing.media.types import Source
from preprocessing.remote import media_path
from preprocessing.store.records import Failure, Record

FORMAT = "avcmr-features"
VERSION = 1

TEXT = h5py.string_dtype("utf-8")
FLOAT = np.dtype(np.float64)
INT = np.dtype(np.int64)

Schema = Mapping[str, Any]
"""Name of each column → TEXT, FLOAT or INT."""

_EVENT = {"event_start": FLOAT, "event_end": FLOAT}
_CLIP = {
    "id": TEXT,
    "label": TEXT,
    "split": TEXT,
    "path": TEXT,
    "start": FLOAT,
    "end": FLOAT,
    **_EVENT,
    "source": TEXT,
}
_SOURCE = {"source_size": INT, "source_mtime": INT}  # bytes, nanoseconds since the epoch
_DAMAGE = {"damage_frames": FLOAT, "damage_sound": FLOAT, "damage_notes": TEXT}  # a note a line
CLIPS = {**_CLIP, **_SOURCE, "codec": TEXT, "fps": FLOAT, "duration": FLOAT, **_DAMAGE}
ADDED_LATER: dict[str, Any] = {
    **dict.fromkeys(_EVENT, nan),
    "source": "",
    **dict.fromkeys(_DAMAGE, 0.0),
    "damage_notes": "",
}
"""Columns that older files lack, with their defaults."""
FAILURES = {**_CLIP, **_SOURCE, "reason": TEXT, "message": TEXT, "attempts": INT}


def clip_row(record: Record) -> tuple[Any, ...]:
    source, damage = record.source, record.damage
    damages = (damage.frames, damage.sound, "\n".join(damage.notes))
    shared = _shared(record.clip, source)
    return (*shared, source.codec, source.fps, record.duration, *damages)


def failure_row(failure: Failure) -> tuple[Any, ...]:
    shared = _shared(failure.clip, failure.source)
    return (*shared, failure.reason, failure.message, failure.attempts)


def _shared(clip: Clip, source: Source) -> tuple[Any, ...]:
    seconds = (clip.start, clip.end, clip.event_start, clip.event_end)
    known = [nan if second is None else second for second in seconds]
    texts = (clip.id, clip.label, clip.split, str(clip.path))
    return (*texts, *known, clip.source, source.size, source.mtime)


def record_of(row: tuple[Any, ...], visual: tuple[int, int], audio: tuple[int, int]) -> Record:
    *clip, size, mtime, codec, fps, duration, frames, sound, notes = row
    source, damage = Source(size, mtime, codec, fps), Damage(frames, sound, (*notes.splitlines(),))
    return Record(_clip(clip), source, duration, visual, audio, damage)


def failure_of(row: tuple[Any, ...]) -> Failure:
    *clip, size, mtime, reason, message, attempts = row
    return Failure(_clip(clip), Source(size, mtime), reason, message, attempts)


def _clip(row: Sequence[Any]) -> Clip:
    id_, label, split, path, *seconds, source = row
    start, end, event_start, event_end = (None if isnan(time) else time for time in seconds)
    return Clip(id_, media_path(path), label, split, start, end, event_start, event_end, source)


def write_table(group: h5py.Group, schema: Schema, rows: Sequence[Sequence[Any]]) -> None:
    """Write rows, each with one value per column in the schema's order."""
    for position, (name, dtype) in enumerate(schema.items()):
        column = [row[position] for row in rows]
        group.create_dataset(name, shape=(len(rows),), dtype=dtype)
        if rows:
            group[name][...] = text_array(column) if dtype is TEXT else np.array(column, dtype)


def read_table(
    group: h5py.Group, schema: Schema, absent: Mapping[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows that :func:`write_table` was given.

    Args:
        group: of the table.
        schema: all its columns.
        absent: columns that it may lack → their defaults.
    """
    if not len(group[next(iter(schema))]):
        return iter(())  # often empty, and each column costs an access
    columns = (read_column(group, schema, name, absent).tolist() for name in schema)
    return zip(*columns, strict=True)


def read_column(
    group: h5py.Group, schema: Schema, name: str, absent: Mapping[str, Any]
) -> NDArray[Any]:
    """One column: (N,) float64 or int64, or objects of type str; see :func:`read_table`."""
    if name in absent and name not in group:
        return np.full(len(group[next(iter(schema))]), absent[name])
    dataset = group[name]
    if schema[name] is TEXT:
        dataset = dataset.asstr(errors=ODD_BYTES)
    column: NDArray[Any] = dataset[()]
    return column
