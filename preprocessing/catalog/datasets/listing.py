"""What a data set lists, and what of it is there."""

from dataclasses import dataclass

from preprocessing.clips import Clip


@dataclass(frozen=True, slots=True)
class Listing:
    """The clips of a data set, before anything is known of their files but whether they exist.

    Attributes:
        clips: those with a file.
        missing: those that are listed, but have none.
        classes: all class names, in the data set's own order.
        notes: what a reader of the listing must know, a sentence each.
    """

    clips: tuple[Clip, ...]
    missing: tuple[Clip, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
