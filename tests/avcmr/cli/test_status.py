"""``avcmr status``: what it shows, whom it asks, and how it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from avcmr.cli import app, status
from raytasks.monitoring.progress import Progress
from raytasks.monitoring.status import Activity, announced
from tests.epochs import EPOCH

pytestmark = pytest.mark.usefixtures("alone")

NOTHING = "nothing runs: no extraction, no training"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_cluster_is_asked_by_its_address(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    asked: list[str] = []

    @contextmanager
    def running(address: str) -> Iterator[Any]:
        asked.append(address)
        yield list

    monkeypatch.setattr("raytasks.monitoring.status.running", running)
    monkeypatch.setenv("RAY_ADDRESS", "another:6379" if by == "option" else "ray://head:10001")
    words = ["status", *(["--address", "ray://head:10001"] if by == "option" else [])]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout) == (1, f"{NOTHING}\n")
    assert asked == ["ray://head:10001"]


def test_watching_goes_on_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", "--watch"])
    assert result.exit_code == 130
    assert naps == [status.REFRESH_SECONDS] * 3
    assert NOTHING in result.stdout


def test_extractions_and_trainings_are_shown_with_how_far_they_are() -> None:
    progress = Progress(
        done=5,
        reasons={"corrupt": 2, "no_audio": 1},
        total=20,
        frames=50,
        queues={"decode": 12, "network": 0, "retry": 1},
        processes={"decoder 1": "idle", "decoder 2": "a/b", "extractor 3": "c and 7 more"},
        seconds=4.0,
    )
    with (
        announced(Activity("extraction", "features.h5", {})) as announce,
        announced(Activity("training", "ave", EPOCH)),
        announced(Activity("training", "new", {})),
    ):
        announce(progress.summary())
        result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0
    for text in ("extraction to features.h5", "12, about 6 s", "2.00 clips/s, 12.5 frames/s",
                 "corrupt", "12 for decode, 1 for retry", "1 idle, 1 working", "training of ave",
                 "7, stage 2", "0.610", "training of new", "nothing measured yet"):  # fmt: skip
        assert text in result.stdout, result.stdout
