"""A local Ray for the tests of a module; some modules have nodes of their own."""

from collections.abc import Iterator

import pytest

from raytasks.cluster import Cluster, connected


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with connected() as cluster:
        yield cluster
