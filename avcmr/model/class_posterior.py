"""Class-posterior similarity: the probability that two clips share a class, as a cosine.

The cosine of two unit-length embeddings ignores how certain either branch is: an ambiguous audio
clip can be as near to a visual one as an unambiguous clip. MAP rewards a ranking by P(query and
item share a class), which is Σ_c P(c | query) · P(c | item) for clips classified independently.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from avcmr.modality import Modality


class ClassPosterior(nn.Module):
    """Embeddings (B, D) of unit length → (B, C + 2), of unit length too.

    The posterior is a softmax over cosine / temperature to each class's prototype: the mean of all
    training embeddings of the class in both modalities, scaled to unit length, which interpolations
    of ever more members approach. :func:`posterior_vectors` turns it into
    vectors to compare by cosine.

    Args:
        classes: C.
        embedding_dim: D.
        temperature: of the softmax.
    """

    prototypes: Tensor

    def __init__(self, classes: int, embedding_dim: int, temperature: float) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(classes, embedding_dim))
        self._temperature = temperature

    @torch.no_grad()
    def fit(self, audio: Tensor, visual: Tensor, labels: Tensor) -> None:
        """Compute the prototypes from training embeddings, (N, D) each, and (N,) int64 labels."""
        sums = torch.zeros_like(self.prototypes).index_add(0, labels, audio + visual)
        self.prototypes.copy_(normalize(sums, dim=1))

    def audio(self, embeddings: Tensor) -> Tensor:
        """Audio embeddings (B, D) → (B, C + 2)."""
        return posterior_vectors(self._posterior(embeddings), "audio")

    def visual(self, embeddings: Tensor) -> Tensor:
        """Visual embeddings (B, D) → (B, C + 2)."""
        return posterior_vectors(self._posterior(embeddings), "visual")

    def _posterior(self, embeddings: Tensor) -> Tensor:
        similarity = embeddings @ self.prototypes.T / self._temperature
        # A class without training clips has no prototype, and its posterior is 0.
        present = self.prototypes.any(dim=1)
        return similarity.masked_fill(~present & present.any(), -torch.inf).softmax(dim=1)


def posterior_vectors(posterior: Tensor, modality: Modality) -> Tensor:
    """Class posteriors p (B, C) → (B, C + 2) of unit length, to be compared by cosine.

    The last two dimensions hold √(1 − |p|²), one for each modality, so that the cosine of an audio
    and a visual vector is the inner product of their posteriors.
    """
    rest = (1 - posterior.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
    zero = torch.zeros_like(rest)
    padding = (rest, zero) if modality == "audio" else (zero, rest)
    return torch.cat([posterior, *padding], dim=1)
