"""MSNSCA: convolutions of several widths over the feature vectors, and shared cross-attention.

Zhang, Yu, Hao & Duan, *Multi-scale network with shared cross-attention for audio–visual
correlation learning*, Neural Computing and Applications 2023. Only its abstract and later
descriptions could be read, not its formulas: kernels of 3, 5 and 7, one attention for both
directions, and a loss of classification, intra-modal and inter-modal correlation are the paper's;
sizes, the layers after the convolutions and the exact correlation loss (DSCMR's pairwise
likelihood) are ours.

As published, a pair's embeddings are computed from both its modalities, at test time as well, so
that the query has seen its own answer. ``msnsca-joint`` does so and is a category of its own.
``msnsca`` is the form that can be used for retrieval: the same network, with each modality
attending to itself.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avcmr.comparison.baselines.dscmr import pairwise_likelihood_loss
from avcmr.comparison.baselines.gradient import Learner, by_gradient
from avcmr.comparison.baselines.method import Embedder, Method, PairEmbedder, class_count
from avcmr.config import Config, ModelConfig
from avcmr.features.dataset import PairedFeatures
from avcmr.model.network import mean_and_std

_KERNELS = (3, 5, 7)
_CHANNELS, _WIDTH, _HEADS = 4, 128, 4


class MultiScale(nn.Module):
    """Features (B, input_dim) → (B, 3, _WIDTH): a token for each kernel size."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: Tensor, shape: ModelConfig) -> None:
        super().__init__()
        mean, std = mean_and_std(features)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.dropout = nn.Dropout(shape.input_dropout)
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(1, _CHANNELS, kernel, padding=kernel // 2),
                nn.GELU(),
                nn.Flatten(),
                nn.Linear(_CHANNELS * features.shape[1], _WIDTH),
                nn.GELU(),
                nn.Dropout(shape.dropout),
            )
            for kernel in _KERNELS
        )

    def forward(self, features: Tensor) -> Tensor:
        scaled = self.dropout((features - self.mean) / self.std)[:, None]  # (B, 1, D)
        return torch.stack([scale(scaled) for scale in self.scales], dim=1)


class MSNSCA(Learner):
    """Both forms: if ``joint``, each modality attends to the other, else to itself."""

    def __init__(self, train: PairedFeatures, config: Config, *, joint: bool) -> None:
        super().__init__()
        self.joint = joint
        shape = config.model
        self.audio_scales = MultiScale(train.audio, shape)
        self.visual_scales = MultiScale(train.visual, shape)
        self.attention = nn.MultiheadAttention(_WIDTH, _HEADS, batch_first=True)
        self.norm = nn.LayerNorm(_WIDTH)
        self.audio_out, self.visual_out = (
            nn.Sequential(nn.Flatten(), nn.Linear(len(_KERNELS) * _WIDTH, shape.embedding_dim))
            for _ in range(2)
        )
        self.classifier = nn.Linear(shape.embedding_dim, class_count(train))

    def attend(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(B, 3, _WIDTH) twice → tokens plus the shared attention to the context, normalised."""
        attention, _ = self.attention(tokens, context, context, need_weights=False)
        attended: Tensor = self.norm(tokens + attention)
        return attended

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        if not self.joint:
            return self.embed_audio(audio), self.embed_visual(visual)
        a, v = self.audio_scales(audio), self.visual_scales(visual)
        return self.audio_out(self.attend(a, v)), self.visual_out(self.attend(v, a))

    def embed_audio(self, audio: Tensor) -> Tensor:
        """From audio alone."""
        tokens = self.audio_scales(audio)
        embedded: Tensor = self.audio_out(self.attend(tokens, tokens))
        return embedded

    def embed_visual(self, visual: Tensor) -> Tensor:
        """From visual features alone."""
        tokens = self.visual_scales(visual)
        embedded: Tensor = self.visual_out(self.attend(tokens, tokens))
        return embedded

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        u, v = self(audio, visual)
        same = (labels[:, None] == labels[None, :]).to(u)
        classification = cross_entropy(self.classifier(u), labels) + cross_entropy(
            self.classifier(v), labels
        )
        intra = pairwise_likelihood_loss(u, u, same) + pairwise_likelihood_loss(v, v, same)
        return classification + intra + pairwise_likelihood_loss(u, v, same)

    def embedder(self) -> PairEmbedder:
        return self if self.joint else Embedder(self.embed_audio, self.embed_visual)


METHODS = (
    Method(
        "msnsca", "trained", "after Zhang et al. 2023", by_gradient(partial(MSNSCA, joint=False))
    ),
    Method(
        "msnsca-joint",
        "joint input",
        "after Zhang et al. 2023",
        by_gradient(partial(MSNSCA, joint=True)),
    ),
)
