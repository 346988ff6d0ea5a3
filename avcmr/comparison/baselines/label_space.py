"""Label space: a classifier per modality, whose class probabilities are the embedding.

Semantic matching of Rasiwasia et al., *A New Approach to Cross-Modal Multimedia Retrieval*, ACM
Multimedia 2010, section 4.2, with networks as classifiers. The regression to one-hot labels is that
of Zhen et al. 2019, equation 4, alone.
"""

from functools import partial

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot, softmax

from avcmr.comparison.baselines.gradient import TwoBranchLearner, by_gradient
from avcmr.comparison.baselines.method import Classifier, Embedder, Method, class_count
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures


class _LabelSpace(TwoBranchLearner):
    def __init__(self, train: PairedFeatures, config: Config, *, weighted: bool = False) -> None:
        shape = config.model.model_copy(update={"embedding_dim": class_count(train)})
        super().__init__(train, shape, weighted=weighted)

    def scores(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.audio.project(audio), self.network.visual.project(visual)


class Classification(_LabelSpace):
    """Cross-entropy of both modalities; embeddings are class probabilities."""

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        a, v = self.scores(audio, visual)
        return cross_entropy(a, labels) + cross_entropy(v, labels)

    def embedder(self) -> Classifier:
        return Classifier(
            lambda audio: softmax(self.network.audio.project(audio), dim=1),
            lambda visual: softmax(self.network.visual.project(visual), dim=1),
        )


class Regression(_LabelSpace):
    """Squared distance to the one-hot label; embeddings are the outputs."""

    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        a, v = self.scores(audio, visual)
        target = one_hot(labels, a.shape[1]).to(a)
        return mse_loss(a, target) + mse_loss(v, target)

    def embedder(self) -> Embedder:
        return Embedder(self.network.audio.project, self.network.visual.project)


METHODS = (
    Method(
        "label-space", "trained", "Rasiwasia et al. 2010, section 4.2", by_gradient(Classification)
    ),
    Method(
        "label-space-weighted",
        "trained",
        "label-space, with our feature weights",
        by_gradient(partial(Classification, weighted=True)),
    ),
    Method("label-regression", "trained", "Zhen et al. 2019, eq. 4 alone", by_gradient(Regression)),
)
