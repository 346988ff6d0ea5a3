"""Dropout that is the same on one worker and on many."""

import torch
from torch import Tensor, nn

from avcmr.model.distributed import world


class SharedDropout(nn.Dropout):
    """``nn.Dropout`` whose masks belong to the clips of the global batch, not to workers.

    Every worker draws the mask of the global batch and takes its own rows. So workers must have
    the same random state and hold equal shares of the batch in order of rank; together they then
    drop what one worker with the whole batch would, without communication.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """(B / workers, …) of this worker → the same shape."""
        if not self.training or self.p == 0:
            return rows
        rank, workers = world()
        share = len(rows)
        mask = torch.empty(share * workers, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        mask = mask.bernoulli_(1 - self.p)[rank * share : (rank + 1) * share]
        return rows * mask / (1 - self.p)
