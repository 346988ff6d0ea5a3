"""TNN-C-CCA: a triplet network on top of cluster-CCA's projections.

Zeng, Yu & Oyama, *Deep Triplet Neural Networks with Cluster-CCA for Audio-Visual Cross-Modal
Retrieval*, ACM TOMM 2020. Their triplets have audio anchors only and un-normalised embeddings;
here they are semi-hard and in both directions, as in our own first stage.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor

from avcmr.comparison.baselines import cluster_cca
from avcmr.comparison.baselines.gradient import TwoBranchLearner, fit_by_gradient
from avcmr.comparison.baselines.method import Choice, Embedder, Method
from avcmr.config import Config, SemiHardStage, TripletStage
from avcmr.features.dataset import PairedFeatures
from avcmr.training.losses import cross_modal_loss


class SemiHardTriplets(TwoBranchLearner):
    """Our network with semi-hard triplets, on projected features of both modalities."""

    def __init__(self, projection: Embedder, train: PairedFeatures, config: Config) -> None:
        audio, visual = (part.float() for part in projection(train.audio, train.visual))
        # The projection replaces the PCA of visual features.
        model = config.model.model_copy(update={"visual_pca": 0})
        super().__init__(replace(train, audio=audio, visual=visual), model)
        self.projection = projection
        stage = config.stage1
        margin = {"margin": stage.margin} if isinstance(stage, TripletStage) else {}
        self.stage = SemiHardStage(**margin)

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        embedder = self.embedder()
        return cross_modal_loss(*embedder(audio, visual), labels, self.stage).value

    def embedder(self) -> Embedder:
        return Embedder(
            lambda audio: self.network.audio(self.projection.audio(audio).float()),
            lambda visual: self.network.visual(self.projection.visual(visual).float()),
        )


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
    """Cluster-CCA, chosen on validation by cosine, then a network trained on its projections."""
    projection = cluster_cca.fit(train, val, config).by_cosine
    assert isinstance(projection, Embedder)
    return fit_by_gradient(partial(SemiHardTriplets, projection, train, config), train, val, config)


METHODS = (Method("tnn-c-cca", "trained", "Zeng et al. 2020", fit),)
