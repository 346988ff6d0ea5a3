"""Records of clips and failures, and the provenance of features."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preprocessing.clips import Clip
from preprocessing.errors import Reason
from preprocessing.media.damage import UNDAMAGED, Damage
from preprocessing.media.types import Source


@dataclass(frozen=True)
class Provenance:
    """How features were made. Features of another provenance are stale and extracted again.

    Attributes:
        config: settings of the extraction; anything JSON can hold, NaN excepted.
        weights: name of each network → sha256 of its weights, or ``untrained:<seed>``.
        decoder: name and version of the decoder.

    Raises:
        TypeError, ValueError: JSON cannot hold the config.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, str]
    decoder: str

    def __post_init__(self) -> None:
        # As it will be read back (tuples become lists), so that equality outlives the file.
        object.__setattr__(self, "config", json.loads(to_json(self.config)))
        object.__setattr__(self, "weights", dict(self.weights))

    @property
    def untrained(self) -> tuple[str, ...]:
        """Names of the networks whose weights are random."""
        return tuple(
            name for name, origin in self.weights.items() if origin.startswith("untrained")
        )


def to_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys; NaN, which never equals itself, is a ValueError."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Record:
    """One clip whose features are stored.

    Attributes:
        clip: its row of the manifest.
        source: the file it was made from, as it was then.
        duration: seconds of video.
        visual: shape (T, D) of its visual rows.
        audio: shape (S, 128) of its audio rows.
        damage: what was replaced in it before they were computed.
    """

    clip: Clip
    source: Source
    duration: float
    visual: tuple[int, int]
    audio: tuple[int, int]
    damage: Damage = UNDAMAGED

    @property
    def nbytes(self) -> int:
        """Bytes of its float32 rows."""
        return 4 * (self.visual[0] * self.visual[1] + self.audio[0] * self.audio[1])


@dataclass(frozen=True, slots=True)
class Failure:
    """One clip that could not be used.

    Attributes:
        clip: its row of the manifest.
        source: size and mtime of the file; both 0 where there was none.
        reason: code of what went wrong.
        message: what went wrong, in one line.
        attempts: how often it was tried.
    """

    clip: Clip
    source: Source
    reason: Reason
    message: str
    attempts: int
