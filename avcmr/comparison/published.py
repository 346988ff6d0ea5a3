"""MAP that others have published on these data sets, for setting beside what is measured here.

Most were measured on other features, splits or rules of selection; where each was read is part of
the number. The tables of the papers of our own method, MSNSCA, TLCA/CCTL, EICS, AADML and PSD
could not be read, and nothing is quoted from them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line reads the presets before it has need of torch
    from avcmr.comparison.baselines.method import Category

Preset = Literal["ave", "ave15", "vegas"]

PRESETS: dict[Preset, int] = {"ave": 28, "ave15": 15, "vegas": 10}
"""Presets in ``configs/``, and how many classes their data sets have."""


@dataclass(frozen=True, slots=True)
class Published:
    """One method's MAP.

    Attributes:
        method: its name, as published.
        category: "joint input" where both modalities of a test pair are seen.
        audio_to_visual: MAP.
        visual_to_audio: MAP.
        read_in: where the number was read.
    """

    method: str
    category: "Category"
    audio_to_visual: float
    visual_to_audio: float
    read_in: str


_README = "repository README; subset and rows not said"
_ON_AVE = (
    Published("ICAIIC-2024", "joint input", 0.371, 0.368, _README),
    Published("DCLMA", "joint input", 0.507, 0.508, _README),
)

PUBLISHED: dict[Preset, tuple[Published, ...]] = {
    "ave": _ON_AVE,
    "ave15": (
        *_ON_AVE,
        Published(
            "label space, successors'",
            "trained",
            0.836,
            0.848,
            "measured on released embeddings of 189 test clips",
        ),
    ),
    "vegas": (
        Published("CCA", "closed form", 0.324, 0.321, "authors' scripts"),
        Published("KCCA", "closed form", 0.287, 0.272, "authors' notebook"),
        Published("C-CCA", "closed form", 0.652, 0.644, "authors' scripts"),
        Published("C-CCA, one fold", "closed form", 0.712, 0.708, "authors' scripts"),
        Published("DCCA", "trained", 0.141, 0.125, "authors' notebook"),
        Published("C-DCCA", "trained", 0.703, 0.693, "authors' scripts"),
        Published("TNN-C-CCA", "trained", 0.747, 0.738, "authors' scripts"),
        Published("ICAIIC-2024", "joint input", 0.881, 0.895, "repository README"),
        Published("DCLMA", "joint input", 0.933, 0.931, "repository README"),
    ),
}
