"""TNN-C-CCA: a triplet network on top of cluster-CCA's projections.

Zeng, Yu & Oyama, *Deep Triplet Neural Networks with Cluster-CCA for Audio-Visual Cross-Modal
Retrieval*, ACM TOMM 2020. Their triplets have audio anchors only, of un-normalised embeddings;
here they are the semi-hard ones of both directions, as in our own first stage.
"""

from dataclasses import replace

from torch import Tensor

from avcmr.baselines import Embedder, Method, cluster_cca, searched
from avcmr.baselines.gradient import TwoBranchLearner, fit_by_gradient
from avcmr.config import Config, Stage1Config
from avcmr.data import PairedFeatures
from avcmr.losses import cross_modal_loss


class SemiHardTriplets(TwoBranchLearner):
    """Stage 1's loss with its margin."""

    def __init__(self, train: PairedFeatures, config: Config) -> None:
        super().__init__(train, config.model)
        self.stage = Stage1Config(margin=config.stage1.margin)

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        a, v = self.network(audio, visual)
        return cross_modal_loss(a, v, labels, self.stage).value


def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Embedder:
    """Cluster-CCA first, chosen on validation, then as ``fit_by_gradient`` behind it."""
    by_cosine = config.model.model_copy(update={"posterior_temperature": 0.0})
    projection = cluster_cca.fit(train, val, config.model_copy(update={"model": by_cosine}))

    def projected(clips: PairedFeatures) -> PairedFeatures:
        audio, visual = projection(clips.audio, clips.visual)
        return replace(clips, audio=audio.float(), visual=visual.float())

    train, val = projected(train), projected(val)
    learner = fit_by_gradient(lambda: SemiHardTriplets(train, config), train, val, config)
    behind = searched(learner.embedder(), train, config)
    return Embedder(
        lambda audio: behind.audio(projection.audio(audio).float()),
        lambda visual: behind.visual(projection.visual(visual).float()),
    )


METHODS = (Method("tnn-c-cca", "trained", "Zeng et al. 2020", fit),)
