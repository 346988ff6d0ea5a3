"""When stage 1 ends, when stage 2 ends, and which weights are kept."""

from dataclasses import dataclass, replace
from typing import Literal

from avcmr.config import Config, Stage

Verdict = Literal["continue", "switch", "stop"]


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The state of training. Immutable: :meth:`after_epoch` gives the next one.

    A stage ends when validation MAP has not improved within it for ``patience`` epochs, or after
    ``max_epochs``. The weights kept are the best on validation over both stages, so the curriculum
    never ends worse on validation than its own stage 1.

    Attributes:
        stage: 1 or 2.
        epoch: epochs done in all.
        stage_epoch: epochs done in this stage.
        stage_best: highest validation MAP of this stage.
        waited: epochs since then, to be compared with the stage's patience.
        best: highest validation MAP so far.
        best_stage: the stage it was reached in.
        best_epoch: and the epoch, counted from 1 over both stages.
        finished: both stages have ended.
    """

    stage: Literal[1, 2] = 1
    epoch: int = 0
    stage_epoch: int = 0
    stage_best: float = -1.0
    waited: int = 0
    best: float = -1.0
    best_stage: int = 1
    best_epoch: int = 0
    finished: bool = False

    def settings(self, config: Config) -> Stage:
        """The settings of the current stage."""
        return config.stage1 if self.stage == 1 else config.stage2

    @property
    def improved(self) -> bool:
        """True if the last epoch is the best of all so far."""
        return self.best_epoch == self.epoch > 0

    def after_epoch(self, validation_map: float, config: Config) -> "tuple[Curriculum, Verdict]":
        """The state after one more epoch, and whether to go on, switch to stage 2 or stop."""
        epoch, stage_epoch = self.epoch + 1, self.stage_epoch + 1
        state = replace(self, epoch=epoch, stage_epoch=stage_epoch, waited=self.waited + 1)
        if validation_map > self.stage_best:
            state = replace(state, stage_best=validation_map, waited=0)
        if validation_map > self.best:
            state = replace(state, best=validation_map, best_stage=self.stage, best_epoch=epoch)
        stage = self.settings(config)
        if state.waited < stage.patience and stage_epoch < stage.max_epochs:
            return state, "continue"
        if self.stage == 1 and config.stage2.max_epochs > 0:
            return replace(state, stage=2, stage_epoch=0, stage_best=-1.0, waited=0), "switch"
        return replace(state, finished=True), "stop"
