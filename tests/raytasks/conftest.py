"""One local Ray for all tests of this folder."""

from collections.abc import Iterator

import pytest

from raytasks.cluster import Cluster, connected


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with connected() as cluster:
        yield cluster
