"""One worker or many, the same mathematics.

Where ``torch.distributed`` is initialised, every worker embeds its share of the global batch, the
embeddings are gathered *with their gradients*, and each worker computes the full loss over the
global batch. The gather's backward sums the gradients over the workers and DDP averages them,
which is exactly the gradient of one worker with the whole batch; no world-size factor.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel


def world() -> tuple[int, int]:
    """This worker's rank and the number of workers; (0, 1) without ``torch.distributed``."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def replicate(module: nn.Module) -> nn.Module:
    """The module itself on one worker; with synchronised gradients on several."""
    if world()[1] == 1:
        return module
    # Buffers are equal from the start, and no step changes them.
    return DistributedDataParallel(module, broadcast_buffers=False)


def gather(rows: Tensor) -> Tensor:
    """(B / workers, D) of every worker → (B, D) in order of rank; gradients flow back."""
    return rows if world()[1] == 1 else torch.cat(list(all_gather(rows)))


def agree(value: Any) -> Any:
    """Rank 0's value, on every worker."""
    if world()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
