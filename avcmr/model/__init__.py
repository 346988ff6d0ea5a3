"""The two-branch network: feature weights and PCA before it, class posteriors after it."""

from avcmr.model.class_posterior import ClassPosterior
from avcmr.model.inference import embed, inference
from avcmr.model.network import Branch, TwoBranchNetwork

__all__ = ["Branch", "ClassPosterior", "TwoBranchNetwork", "embed", "inference"]
