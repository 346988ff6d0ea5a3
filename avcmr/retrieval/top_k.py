"""Exact top-k search: the inner product of a query with every item of the gallery."""

import torch
from torch import Tensor

_CHUNK = 65_536
"""Items scored at a time: their scores fit into a CPU's cache."""


def top_k(
    query: Tensor, gallery: Tensor, k: int, *, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The ``k`` items with the largest inner product; of equal ones, those of earlier rows.

    Args:
        query: (D,).
        gallery: (N, D), of any length: no more than 65,536 scores are held at a time.
        k: how many; fewer where the gallery or ``allowed`` has fewer.
        allowed: (N,) bool, the items that may be found; None allows all.

    Returns:
        (K,) int64 rows of the gallery, best first, and their (K,) scores.
    """
    rows = torch.empty(0, dtype=torch.int64)
    scores = torch.empty(0, dtype=gallery.dtype)
    least = -torch.inf
    for first in range(0, len(gallery) if k else 0, _CHUNK):
        found = gallery[first : first + _CHUNK] @ query  # (C,)
        if allowed is not None:
            found = found.masked_fill(~allowed[first : first + _CHUNK], -torch.inf)
        best = found.topk(min(k, len(found))).values  # topk breaks ties arbitrarily
        if best[0] <= least:  # a later row loses a tie
            continue
        chosen = ((found >= best[-1]) & (found > least)).nonzero().flatten()
        rows, scores = torch.cat([rows, chosen + first]), torch.cat([scores, found[chosen]])
        order = scores.argsort(descending=True, stable=True)[:k]
        rows, scores = rows[order], scores[order]
        if len(scores) == k:
            least = scores[-1].item()
    return rows, scores
