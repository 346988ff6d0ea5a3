"""The global batches of an epoch: shuffled clips, or balanced by class (P × K)."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures
from preprocessing.errors import UsageError


def derived_seed(*parts: int) -> int:
    """A seed derived from several numbers; trailing zeros do not count."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def fitting_batch_size(
    wanted: int, clips: int, *, workers: int = 1, classes_per_batch: int = 0
) -> int:
    """``wanted``, or the nearest size that a training split can fill and workers share evenly.

    A split smaller than ``wanted`` gives the largest power of two that it can fill, so that the
    global batch is the same for 1, 2, 4, … workers.

    Raises:
        UsageError: there are too few clips for so many workers.
    """
    size = wanted if wanted <= clips else 2 ** (clips.bit_length() - 1)
    if size % workers == 0:
        return size
    step = math.lcm(workers, classes_per_batch or 1)
    nearest = max(round(size / step), 1) * step
    fitting = min(nearest, clips // step * step)
    if not fitting:
        raise UsageError(
            f"{workers} workers need batches of at least {step} clips, and there are {clips} "
            "training clips; use fewer --workers"
        )
    return fitting


def global_batch_size(config: Config, train: PairedFeatures, *, workers: int = 1) -> int:
    """The size of the global batches: ``config.batch_size``, or what clips and workers allow.

    Raises:
        UsageError: too few clips for the workers, or batches of more classes than there are or
            that classes cannot share evenly; with what would fit.
    """
    per_batch, classes = config.classes_per_batch, len(train.labels.unique())
    size = fitting_batch_size(
        config.batch_size, len(train), workers=workers, classes_per_batch=per_batch
    )
    if per_batch > classes:
        raise UsageError(
            f"classes_per_batch {per_batch}: the training split has {classes} classes; "
            f"set classes_per_batch={classes}, or 0 for batches that are not balanced"
        )
    if per_batch and size % per_batch:
        raise UsageError(
            f"batch_size {size} cannot be shared evenly by {per_batch} classes; "
            f"set batch_size={size // per_batch * per_batch or per_batch}, "
            "or another classes_per_batch"
        )
    return size


def global_batches(
    labels: Tensor, batch_size: int, *, classes_per_batch: int, seed: int, epoch: int
) -> list[Tensor]:
    """Row numbers of each global batch of an epoch, (batch_size,) int64 each.

    There are as many batches as the clips fill, and they depend on seed and epoch alone. With
    ``classes_per_batch`` 0 the clips are shuffled, and an incomplete last batch is dropped.
    Otherwise each batch has that many classes, P, with K = batch_size / P clips each (Hermans et
    al. 2017, section 2):

    - all classes come equally often, so the clips of a rare class repeat within an epoch and not
      all clips of a common one are seen;
    - no clip comes again before all of its class have come, so a clip is twice in one batch only
      if its class has fewer than K clips.

    Args:
        labels: (N,) int64 of the training clips.
        batch_size: at most N; a multiple of ``classes_per_batch``.
        classes_per_batch: P, at most the number of classes; or 0.
        seed: of the run.
        epoch: counted over both stages.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch))
    batches = len(labels) // batch_size
    if classes_per_batch == 0:
        order = torch.randperm(len(labels), generator=generator)
        return list(order[: batches * batch_size].split(batch_size))
    members = [(labels == label).nonzero()[:, 0].cpu() for label in labels.unique()]
    classes = _in_turn(len(members), classes_per_batch, generator)
    clips = [_in_turn(len(rows), batch_size // classes_per_batch, generator) for rows in members]
    return [
        torch.cat([members[label][next(clips[label])] for label in next(classes).tolist()])
        for _ in range(batches)
    ]


def _in_turn(items: int, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endlessly, ``count`` of ``items`` indices: those taken least so far, ties at random."""
    taken = torch.zeros(items)
    rounds, rest = divmod(count, items)
    while True:
        # Counts are integers and the random part is below 1, so it breaks ties only.
        order = (taken + torch.rand(items, generator=generator)).argsort()
        taken[order[:rest]] += 1
        yield torch.cat([order] * rounds + [order[:rest]])
