"""The one training loop of all rivals that learn by gradient.

Network, regularisation, optimiser, batches and number of epochs are those of our own training, so
that losses are compared and not recipes. What the rivals were published without is the weighing of
features by relevance: it is ours alone, unless a method says otherwise. The epoch is chosen on
validation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from avcmr.comparison.baselines.method import Choice, Embedder, Fit, PairEmbedder, Selection
from avcmr.config import Config, ModelConfig
from avcmr.features.dataset import PairedFeatures
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.batches import fitting_batch_size, global_batches


def budget(config: Config) -> tuple[int, int]:
    """Most epochs, and patience, of a training in one stage: those of both our stages together."""
    return (
        config.stage1.max_epochs + config.stage2.max_epochs,
        config.stage1.patience + config.stage2.patience,
    )


class Learner(ABC, nn.Module):
    """A network that knows its loss and how it embeds."""

    @abstractmethod
    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        """Features (B, audio_dim), (B, visual_dim) and labels (B,) of a batch → scalar."""

    @abstractmethod
    def embedder(self) -> PairEmbedder:
        """What is asked for embeddings; it uses the weights as they are when it is called."""

    def before_validation(self, train: PairedFeatures) -> None:
        """Adjust whatever follows from the weights in closed form; without gradient or dropout."""


class TwoBranchLearner(Learner):
    """A learner whose network is that of our own method.

    Args:
        train: training clips, from which the branches take mean and deviation.
        model: the branches' shape.
        feature_weights: in place of the model's; at 0 all numbers of a feature count alike.
    """

    def __init__(
        self, train: PairedFeatures, model: ModelConfig, *, feature_weights: float = 0.0
    ) -> None:
        super().__init__()
        model = model.model_copy(update={"feature_weights": feature_weights})
        self.network = TwoBranchNetwork(train.audio.shape[1], train.visual.shape[1], model)
        self.network.audio.fit_scaling(train.audio, train.labels)
        self.network.visual.fit_scaling(train.visual, train.labels)

    def embedder(self) -> Embedder:
        return Embedder(self.network.audio, self.network.visual)


def fit_by_gradient(
    make: Callable[[], Learner],
    train: PairedFeatures,
    val: PairedFeatures,
    config: Config,
    *,
    batch_size: int | None = None,
) -> Choice:
    """Train with AdamW; back comes what embedded best on validation after any epoch.

    Args:
        make: builds the learner; called after the seed is set.
        train: clips to learn from.
        val: clips to choose the epoch by.
        config: seed, batch size, weight decay, stage 1's learning rate, and the epochs and
            patience of both stages.
        batch_size: in place of ``config.batch_size``, for losses that need another.
    """
    epochs, patience = budget(config)
    batch_size = fitting_batch_size(batch_size or config.batch_size, len(train))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        learner = make()
        optimizer = AdamW(
            learner.parameters(),
            lr=config.stage1.learning_rate,
            weight_decay=config.weight_decay,
        )
        selection, waited = Selection(train, val, config), 0
        for epoch in range(epochs):
            learner.train()
            # Plain batches: the contrastive rivals take every other clip of a batch for a negative.
            for batch in global_batches(
                train.labels, batch_size, classes_per_batch=0, seed=config.seed, epoch=epoch
            ):
                loss = learner.loss(train.audio[batch], train.visual[batch], train.labels[batch])
                learner.zero_grad()
                loss.backward()
                optimizer.step()
            waited = 0 if selection.offer(_frozen(learner, train).embedder()) else waited + 1
            if waited >= patience:
                break
    return selection.choice


def by_gradient(
    make: Callable[[PairedFeatures, Config], Learner], *, batch_size: int | None = None
) -> Fit:
    """A method's ``fit``: make the learner of training clips and settings, and train it."""

    def fit(train: PairedFeatures, val: PairedFeatures, config: Config) -> Choice:
        return fit_by_gradient(
            partial(make, train, config), train, val, config, batch_size=batch_size
        )

    return fit


@torch.no_grad()
def _frozen(learner: Learner, train: PairedFeatures) -> Learner:
    """A copy of the learner as it is now, ready to embed."""
    frozen = deepcopy(learner).eval().requires_grad_(False)
    frozen.before_validation(train)
    return frozen
