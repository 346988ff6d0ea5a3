"""One local Ray for all tests of this folder that can share it: starting one takes long."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from raytasks.cluster import Cluster, connected
from tests.patience import PATIENCE


class SharedRay:
    """Starts when it is first needed, and again after a test that had to do without."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._cluster: Cluster | None = None

    def start(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._stack.enter_context(connected())
        return self._cluster

    def stop(self) -> None:
        self._cluster = None
        self._stack.close()


_RAY = SharedRay()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, processes have time to start."""
    monkeypatch.setattr("raytasks.extraction.pool.START_SECONDS", PATIENCE)
    monkeypatch.setattr("raytasks.train.START_SECONDS", PATIENCE)


@pytest.fixture
def cluster() -> Cluster:
    return _RAY.start()


@pytest.fixture
def no_ray() -> None:
    """For tests that start or join a Ray of their own."""
    _RAY.stop()


@pytest.fixture
def fresh_cluster(no_ray: None) -> Cluster:
    """A Ray in which nothing has been counted yet."""
    return _RAY.start()


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop Ray once the next test is of another folder."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _RAY.stop()
