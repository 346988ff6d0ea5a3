"""When stages end, and what is kept."""

from avcmr.config import Config
from avcmr.config_files import load_config
from avcmr.training.curriculum import Curriculum


def play(config: Config, maps: list[float]) -> tuple[Curriculum, list[str]]:
    state, verdicts = Curriculum(), []
    for value in maps:
        state, verdict = state.after_epoch(value, config)
        verdicts.append(verdict)
    return state, verdicts


def settings(*overrides: str) -> Config:
    return load_config(None, ["stage1.patience=2", "stage2.patience=2", *overrides])


def test_a_stage_ends_when_validation_stops_improving() -> None:
    state, verdicts = play(settings(), [0.1, 0.3, 0.2, 0.3, 0.25, 0.26, 0.24, 0.2])
    assert verdicts == ["continue"] * 3 + ["switch", "continue", "continue", "continue", "stop"]
    assert (state.best, state.best_epoch, state.best_stage) == (0.3, 2, 1)
    assert state.finished


def test_stage_2_waits_on_its_own_best_and_wins_if_it_is_better() -> None:
    state, verdicts = play(settings(), [0.5, 0.4, 0.4, 0.1, 0.2, 0.6, 0.5, 0.5])
    assert verdicts[2] == "switch"
    assert verdicts[-1] == "stop"
    assert (state.best, state.best_epoch, state.best_stage) == (0.6, 6, 2)


def test_epochs_are_bounded() -> None:
    _, verdicts = play(settings("stage1.max_epochs=2", "stage2.max_epochs=1"), [0.1, 0.2, 0.3])
    assert verdicts == ["continue", "switch", "stop"]


def test_without_a_second_stage_training_stops_after_the_first() -> None:
    state, verdicts = play(settings("stage1.max_epochs=1", "stage2.max_epochs=0"), [0.1])
    assert verdicts == ["stop"]
    assert state.improved
