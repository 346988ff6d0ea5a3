"""From embeddings to class posteriors whose cosine is the chance that two clips share a class.

The cosine of two embeddings of unit length says how alike they point, and not how sure either
branch is: a sound that could be anything comes out as near to a picture as one that could be
nothing else. What MAP rewards is a ranking by P(query and item share a class), which is Σ_c
P(c | query) · P(c | item) for two clips that are judged apart.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class ClassPosterior(nn.Module):
    """Embeddings (B, D) of unit length → (B, C + 2), of unit length too.

    The posterior is a softmax over cosine / temperature to each class's prototype: the mean of all
    training embeddings of the class, of both modalities, which is where interpolation of more and
    more of them ends. :func:`posterior_vectors` turns it into vectors to compare by cosine.

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
        """Take the prototypes from training embeddings, (N, D) each, with (N,) int64 labels."""
        sums = torch.zeros_like(self.prototypes).index_add(0, labels, audio + visual)
        self.prototypes.copy_(normalize(sums, dim=1))

    def audio(self, embeddings: Tensor) -> Tensor:
        """Audio embeddings (B, D) → (B, C + 2)."""
        return posterior_vectors(self._posterior(embeddings), "audio")

    def visual(self, embeddings: Tensor) -> Tensor:
        """Visual embeddings (B, D) → (B, C + 2)."""
        return posterior_vectors(self._posterior(embeddings), "visual")

    def _posterior(self, embeddings: Tensor) -> Tensor:
        closeness = embeddings @ self.prototypes.T / self._temperature
        # A class without training clips has no prototype, and nothing is of it.
        present = self.prototypes.any(dim=1)
        return closeness.masked_fill(~present & present.any(), -torch.inf).softmax(dim=1)


def posterior_vectors(posterior: Tensor, modality: Literal["audio", "visual"]) -> Tensor:
    """Class posteriors p (B, C) → (B, C + 2) of unit length, to be compared by cosine.

    The last two values hold √(1 − |p|²), each modality in a place of its own, so that the cosine
    of a sound and a picture is the inner product of their posteriors.
    """
    rest = (1 - posterior.square().sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
    nothing = torch.zeros_like(rest)
    places = (rest, nothing) if modality == "audio" else (nothing, rest)
    return torch.cat([posterior, *places], dim=1)
