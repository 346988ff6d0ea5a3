"""The two-stage curriculum: batches, mining, interpolation, losses, and the loop over epochs."""

from avcmr.training.curriculum import Curriculum
from avcmr.training.history import EpochRecord, History
from avcmr.training.loop import train
from avcmr.training.run_folder import Checkpoint, RunFolder
from avcmr.training.trained import trained_network

__all__ = [
    "Checkpoint",
    "Curriculum",
    "EpochRecord",
    "History",
    "RunFolder",
    "train",
    "trained_network",
]
