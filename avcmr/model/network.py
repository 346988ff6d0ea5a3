"""Two branches, one for audio and one for visual features, into one embedding space."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from avcmr.config import ModelConfig
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.model.class_posterior import ClassPosterior
from avcmr.model.dropout import SharedDropout
from avcmr.model.feature_weights import adjusted_r_squared
from avcmr.model.whitening import WhiteningPCA

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}


def mean_and_std(features: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) → their mean (D,), and one standard deviation, a scalar, of all D together.

    Divided by one number, features that went through PCA keep its order: dividing each dimension by
    its own standard deviation would make the last components, mostly noise, as large as the first.
    """
    mean = features.mean(dim=0)
    std = (features - mean).square().mean().sqrt()
    # Features that never vary are centred and left unscaled.
    return mean, torch.where(std > 1e-6, std, 1.0)


class Branch(nn.Module):
    """Features of one modality (B, input_dim) → embeddings of unit length (B, D).

    Each dimension of a feature is first centred and multiplied by its weight
    (:func:`avcmr.model.feature_weights.adjusted_r_squared` to the power of
    ``config.feature_weights``); all are divided by one number, so that their overall standard
    deviation is 1. Mean and scale are fitted to the training split and saved with the weights.

    Args:
        input_dim: dimensions of a feature, after the PCA.
        config: the branch's shape.
        pca: applied to the features first, if given.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, input_dim: int, config: ModelConfig, *, pca: WhiteningPCA | None = None
    ) -> None:
        super().__init__()
        self.pca = pca
        self._weight_power = config.feature_weights
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))
        layers: list[nn.Module] = [SharedDropout(config.input_dropout)]
        width = input_dim
        for hidden in config.hidden:
            layers += [
                nn.Linear(width, hidden),
                _ACTIVATIONS[config.activation](),
                SharedDropout(config.dropout),
            ]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.embedding_dim))

    def fit_scaling(self, features: Tensor, labels: Tensor) -> None:
        """Fit the PCA, if there is one, then mean and scale.

        Args:
            features: (N, input_dim before the PCA), of the training split.
            labels: (N,) int64.

        Raises:
            AvcmrError: the training features are too few for the PCA.
        """
        if self.pca is not None:
            self.pca.fit(features)
            features = self.pca(features)
        weights = adjusted_r_squared(features, labels) ** self._weight_power
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(weights / mean_and_std(features * weights)[1])

    def project(self, features: Tensor) -> Tensor:
        """Features (B, input_dim) → embeddings (B, D) before they are scaled to unit length."""
        if self.pca is not None:
            features = self.pca(features)
        projected: Tensor = self.layers((features - self.mean) * self.scale)
        return projected

    def forward(self, features: Tensor) -> Tensor:
        return normalize(self.project(features), dim=1)


class TwoBranchNetwork(nn.Module):
    """Audio (B, audio_dim) and visual (B, visual_dim) features → two (B, D) embeddings.

    Losses see these embeddings. Retrieval uses :meth:`embed_audio` and :meth:`embed_visual`: the
    same, or where the settings give a posterior temperature, the class posteriors of
    :class:`avcmr.model.class_posterior.ClassPosterior`.
    """

    def __init__(
        self, audio_dim: int, visual_dim: int, config: ModelConfig, *, classes: int = 0
    ) -> None:
        super().__init__()
        self.audio_dim, self.visual_dim = audio_dim, visual_dim
        self.audio = Branch(audio_dim, config)
        pca = WhiteningPCA(visual_dim, config.visual_pca, config.yt8m_pca)
        self.visual = Branch(
            config.visual_pca or visual_dim, config, pca=pca if config.visual_pca else None
        )
        self.posterior = (
            ClassPosterior(classes, config.embedding_dim, config.posterior_temperature)
            if classes and config.posterior_temperature
            else None
        )

    @classmethod
    def fitting(cls, dataset: Dataset, config: ModelConfig) -> Self:
        """A network, not trained, for the feature widths and classes of a data set."""
        train = dataset.train
        classes = len(dataset.class_names)
        return cls(train.audio.shape[1], train.visual.shape[1], config, classes=classes)

    def forward(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.audio(audio), self.visual(visual)

    def fit_posterior(self, train: PairedFeatures) -> None:
        """Compute the classes' prototypes from the training clips with the present weights."""
        if self.posterior:
            self.posterior.fit(self.audio(train.audio), self.visual(train.visual), train.labels)

    def embed_audio(self, features: Tensor) -> Tensor:
        """(B, audio_dim) → (B, E) of unit length, to be compared by cosine."""
        embeddings: Tensor = self.audio(features)
        return self.posterior.audio(embeddings) if self.posterior else embeddings

    def embed_visual(self, features: Tensor) -> Tensor:
        """(B, visual_dim) → (B, E) of unit length, to be compared by cosine."""
        embeddings: Tensor = self.visual(features)
        return self.posterior.visual(embeddings) if self.posterior else embeddings
