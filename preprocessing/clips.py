"""A clip: a media file or a part of one, with its class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from preprocessing.errors import faults_in
from preprocessing.remote import MediaPath

Split = Literal["train", "val", "test", ""]
SPLITS: tuple[Split, ...] = tuple(split for split in get_args(Split) if split)
"""The named ones; a clip may be in none."""

NO_FILE = Path()
"""The path of a clip of which only features exist."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of a manifest.

    Attributes:
        id: unique in the manifest; the path relative to the root without suffix, or the data
            set's own id.
        path: the media file, on this machine or elsewhere.
        label: name of the class.
        split: ``train``, ``val``, ``test``, or empty where none is given.
        start: first second of the clip within the file; None is the file's beginning.
        end: last second; None is the file's end.
        event_start: second of the clip, counted from its start, at which the labelled event
            begins; None is the clip's beginning.
        event_end: second at which it ends; None is the clip's end.
        source: name of the recording that the clip was cut from, where the file does not tell;
            clips of one source are never divided among splits.
    """

    id: str
    path: MediaPath
    label: str
    split: Split = ""
    start: float | None = None
    end: float | None = None
    event_start: float | None = None
    event_end: float | None = None
    source: str = ""

    @property
    def file(self) -> Path:
        """The media file, as decoders take it.

        Raises:
            ValueError: it is remote, and has to be fetched first.
        """
        if not isinstance(self.path, Path):
            raise ValueError(f"{self.path} has not been fetched")
        return self.path


def refuse_duplicate_ids(clips: Sequence[Clip], where: MediaPath) -> None:
    """Raise a SetupError that names the clips which share an id."""
    first: dict[str, Clip] = {}
    faults = [
        f"{_named(other, clip)} share the id {clip.id!r}"
        for clip in clips
        if (other := first.setdefault(clip.id, clip)) is not clip
    ]
    if faults:
        raise faults_in(where, faults, "rename one, or give ids in a manifest")


def _named(one: Clip, other: Clip) -> str:
    """Both files, with their labels where these differ."""
    if one.label == other.label:
        return f"{one.path.name} and {other.path.name}"
    return f"{one.path.name} ({one.label}) and {other.path.name} ({other.label})"
