"""Which triplets of a batch the loss is computed over: semi-hard, hard, or all of them.

Miners see distances from A anchors of one modality to P candidates for the positive and N
candidates for the negative, all of the other modality. They choose indices and carry no gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Triplets:
    """M triplets as indices, each (M,) int64.

    Attributes:
        anchor: rows of the distance matrices.
        positive: columns of the distances to positives.
        negative: columns of the distances to negatives.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        return len(self.anchor)


Miner = Callable[[Tensor, Tensor, Tensor, Tensor], Triplets]
"""Distances to positives and negatives, and which candidates are either → triplets."""


@torch.no_grad()
def semi_hard_triplets(
    to_positives: Tensor, to_negatives: Tensor, is_positive: Tensor, is_negative: Tensor
) -> Triplets:
    """For every (anchor, positive) pair, the nearest negative that is farther than the positive.

    A pair without such a negative gives no triplet (FaceNet, Schroff et al. 2015, section 3.2);
    whether the negative lies within the margin is decided by the hinge of the loss.

    Args:
        to_positives: (A, P) distances.
        to_negatives: (A, N) distances.
        is_positive: (A, P) bool, True where the candidate has the anchor's class.
        is_negative: (A, N) bool, True where it has another class.
    """
    sorted_negatives, order = to_negatives.where(is_negative, torch.inf).sort(dim=1)
    anchor, positive = is_positive.nonzero(as_tuple=True)  # (M,)
    place = _first_beyond(sorted_negatives, anchor, to_positives[anchor, positive])
    found = place < is_negative.sum(dim=1)[anchor]
    anchor, positive, place = anchor[found], positive[found], place[found]
    return Triplets(anchor, positive, order[anchor, place])


@torch.no_grad()
def hard_triplets(
    to_positives: Tensor, to_negatives: Tensor, is_positive: Tensor, is_negative: Tensor
) -> Triplets:
    """For every anchor its farthest positive and its nearest negative (batch-hard).

    Hermans et al. 2017, equation 5. Arguments as in :func:`semi_hard_triplets`. An anchor without
    a positive or without a negative gives no triplet.
    """
    farthest, positive = to_positives.where(is_positive, -torch.inf).max(dim=1)
    nearest, negative = to_negatives.where(is_negative, torch.inf).min(dim=1)
    (anchor,) = (farthest.isfinite() & nearest.isfinite()).nonzero(as_tuple=True)
    return Triplets(anchor, positive[anchor], negative[anchor])


@torch.no_grad()
def all_triplets(
    to_positives: Tensor, to_negatives: Tensor, is_positive: Tensor, is_negative: Tensor
) -> Triplets:
    """Every anchor with each of its positives and each of its negatives (batch-all).

    Hermans et al. 2017, equation 6. Arguments as in :func:`semi_hard_triplets`. There are up to
    A·P·N of them, which is for batches of some hundreds.
    """
    valid = is_positive[:, :, None] & is_negative[:, None, :]  # (A, P, N)
    return Triplets(*valid.nonzero(as_tuple=True))


def _first_beyond(rows: Tensor, row: Tensor, values: Tensor) -> Tensor:
    """Index of the first entry of a sorted row that is greater than a value; N if none is.

    Args:
        rows: (A, N), each sorted.
        row: (M,) int64, ascending: the row to search for each value.
        values: (M,).
    """
    counts = row.bincount(minlength=len(rows))  # (A,)
    # searchsorted takes as many values for every row, so short ones are padded. Searching for all
    # columns instead would take as long as sorting.
    column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]  # (M,)
    padded = values.new_zeros(len(rows), int(counts.max()))
    padded[row, column] = values
    return torch.searchsorted(rows, padded, right=True)[row, column]
