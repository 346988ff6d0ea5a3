"""MAP that others have published on these data sets, to show beside what is measured here.

Most were measured on other features, splits or with another model selection; where each was read
is part of the number. No number of all 28 classes of AVE could be read: the authors report on
AVE-15. The tables of the papers of our own method, MSNSCA, TLCA/CCTL, EICS, AADML and PSD could
not be read, and nothing is quoted from them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line reads the presets without importing torch
    from avcmr.comparison.baselines.method import Category

Preset = Literal["ave", "ave15", "vegas"]

PRESETS: dict[Preset, int] = {"ave": 28, "ave15": 15, "vegas": 10}
"""Presets in ``configs/``, with the number of classes of their data sets."""


@dataclass(frozen=True, slots=True)
class Published:
    """One method's MAP in both directions, and where the number was read.

    Its category is "joint input" if both modalities of a test pair enter its embeddings.
    """

    method: str
    category: "Category"
    audio_to_visual: float
    visual_to_audio: float
    read_in: str


PUBLISHED: dict[Preset, tuple[Published, ...]] = {
    "ave": (),
    "ave15": (
        Published("ICAIIC-2024", "joint input", 0.371, 0.368, "repository README; 189 test clips"),
        Published(
            "DCLMA",
            "joint input",
            0.507,
            0.508,
            "repository README; epoch chosen on test, first 128 of 189 clips",
        ),
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
        Published(
            "DCLMA",
            "joint input",
            0.933,
            0.931,
            "repository README; epoch chosen on test, first 5,504 of 5,621 clips",
        ),
    ),
}
