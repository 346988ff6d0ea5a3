"""``avcmr status``: whom it asks, and how it ends; tests/raytasks has what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from avcmr.cli import app, status
from raytasks.monitoring import remote_status

pytestmark = pytest.mark.usefixtures("alone")

NOTHING = "nothing runs: no extraction, no training"


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_cluster_is_asked_by_its_address(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    asked: list[str] = []

    @contextmanager
    def reader(address: str) -> Iterator[Any]:
        asked.append(address)
        yield list

    monkeypatch.setattr(remote_status, "reader", reader)
    monkeypatch.setenv("RAY_ADDRESS", "another:6379" if by == "option" else "ray://head:10001")
    words = ["status", *(["--address", "ray://head:10001"] if by == "option" else [])]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout) == (1, f"{NOTHING}\n")
    assert asked == ["ray://head:10001"]


def test_watching_goes_on_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytasks.monitoring.status.readings", list)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", sleep)
    result = CliRunner().invoke(app, ["status", "--watch"])
    assert result.exit_code == 130
    assert naps == [status.SECONDS_BETWEEN_LOOKS] * 3
    assert NOTHING in result.stdout
