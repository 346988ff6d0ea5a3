"""Two branches, one for sound and one for picture, into one embedding space."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from avcmr.config import ModelConfig
from avcmr.dropout import SharedDropout

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}


class Branch(nn.Module):
    """Features of one modality (B, input_dim) → embeddings of unit length (B, D).

    The features are first scaled to mean 0 and deviation 1 as they had over the training split;
    both statistics are part of the weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, input_dim: int, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("deviation", torch.ones(input_dim))
        layers: list[nn.Module] = [SharedDropout(config.input_dropout)]
        width = input_dim
        for hidden in config.hidden:
            layers += [
                nn.Linear(width, hidden),
                ACTIVATIONS[config.activation](),
                SharedDropout(config.dropout),
            ]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.embedding_dim))

    def fit_scaling(self, features: Tensor) -> None:
        """Take mean and deviation from the training features (N, input_dim)."""
        self.mean.copy_(features.mean(dim=0))
        # A feature that never varies carries nothing: it is centred and left unscaled.
        deviation = features.std(dim=0, correction=0)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def project(self, features: Tensor) -> Tensor:
        """The embeddings (B, D) before they are scaled to unit length."""
        projected: Tensor = self.layers((features - self.mean) / self.deviation)
        return projected

    def forward(self, features: Tensor) -> Tensor:
        return normalize(self.project(features), dim=1)


class TwoBranchNetwork(nn.Module):
    """Audio (B, audio_dim) and visual (B, visual_dim) features → two (B, D) embeddings."""

    def __init__(self, audio_dim: int, visual_dim: int, config: ModelConfig) -> None:
        super().__init__()
        self.audio = Branch(audio_dim, config)
        self.visual = Branch(visual_dim, config)

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.audio(audio), self.visual(visual)
