"""What a cluster measures of itself, read from outside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from raytasks.cluster import connected
from raytasks.monitoring.status import Reading, readings


@contextmanager
def reader(address: str) -> Iterator[Callable[[], list[Reading]]]:
    """Join a cluster; what is given reads on its head node, which alone knows where its nodes are.

    Raises:
        SetupError: no cluster answers there.
    """
    with connected(address):
        on_head = {"node:__internal_head__": 0.001}
        task = ray.remote(_readings).options(num_cpus=0, resources=on_head, name="avcmr status")
        yield lambda: ray.get(task.remote())


def _readings() -> list[Reading]:
    node = ray._private.worker._global_node
    session = Path(node.get_session_dir_path()).name
    found = readings(Path(node.get_temp_dir_path()))
    return [reading for reading in found if reading.session == session]
