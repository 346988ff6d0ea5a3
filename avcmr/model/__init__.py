"""The two-branch network, what it does to features first, and the class posterior after it."""

from avcmr.model.class_posterior import ClassPosterior
from avcmr.model.inference import embed, inference
from avcmr.model.network import Branch, TwoBranchNetwork

__all__ = [
    "Branch",
    "ClassPosterior",
    "TwoBranchNetwork",
    "embed",
    "inference",
]
