"""What was mended in a collection of clips, in words."""

from collections import Counter
from collections.abc import Iterable, Iterator

from preprocessing.media.damage import UNDAMAGED, Damage


def count_repairs(damages: Iterable[Damage]) -> dict[str, int]:
    """How many clips were mended, as ``clips``, and how many in each way; ways may combine."""
    counts = Counter({"clips": 0})
    for damage in damages:
        counts["clips"] += damage != UNDAMAGED
        counts.update(_ways(damage))
    return dict(counts)


def _ways(damage: Damage) -> Iterator[str]:
    if damage.frames:
        yield "frames replaced by their neighbours"
    if damage.sound:
        yield "sound replaced by silence"
    yield from damage.notes
