"""The training loop shared by all rivals that are trained by gradient descent.

Network, regularisation, optimiser, batches and number of epochs are those of our own training, so
that losses are compared and not recipes. Feature weights are ours alone, as the rivals were
published without, unless a method asks for them. The epoch is chosen on validation.
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
    """Maximum epochs and patience of a one-stage training: both our stages together."""
    return (
        config.stage1.max_epochs + config.stage2.max_epochs,
        config.stage1.patience + config.stage2.patience,
    )


class Learner(ABC, nn.Module):
    """A network with its loss and its way to embed."""

    @abstractmethod
    def loss(self, audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
        """Features (B, audio_dim), (B, visual_dim) and labels (B,) of a batch → scalar."""

    @abstractmethod
    def embedder(self) -> PairEmbedder:
        """An embedder that uses the current weights."""

    def before_validation(self, train: PairedFeatures) -> None:
        """Refit what follows from the weights in closed form; without gradients or dropout."""


class TwoBranchLearner(Learner):
    """A learner with the network of our own method, its scaling fitted to the training clips.

    Features are weighted as in our method only if it is ``weighted``.
    """

    def __init__(
        self, train: PairedFeatures, model: ModelConfig, *, weighted: bool = False
    ) -> None:
        super().__init__()
        if not weighted:
            model = model.model_copy(update={"feature_weights": 0.0})
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
    """Train with AdamW and return the embedders of the best epochs on validation.

    ``make`` builds the learner after the seed is set. The learning rate is that of stage 1; epochs
    and patience are those of both stages together.
    """
    epochs, patience = budget(config)
    batch_size = fitting_batch_size(batch_size or config.batch_size, len(train))
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        learner = make()
        optimizer = AdamW(
            learner.parameters(), lr=config.stage1.learning_rate, weight_decay=config.weight_decay
        )
        selection, waited = Selection(train, val, config), 0
        for epoch in range(epochs):
            learner.train()
            # Unbalanced batches: contrastive rivals use every other clip of a batch as a negative.
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
    """A method's ``fit``: build the learner from training clips and settings, and train it."""

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
