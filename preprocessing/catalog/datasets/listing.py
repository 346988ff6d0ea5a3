"""The clips that a data set lists, present and missing."""

from dataclasses import dataclass

from preprocessing.clips import Clip


@dataclass(frozen=True, slots=True)
class Listing:
    """The clips of a data set; of their files only the existence has been checked.

    Attributes:
        clips: with a file.
        missing: listed, but without a file.
        classes: all class names, in the data set's own order.
        notes: remarks for the reader, a sentence each.
    """

    clips: tuple[Clip, ...]
    missing: tuple[Clip, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
