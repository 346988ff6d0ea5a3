"""Ray's own limit on how long a local node may take to start, raised for busy machines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

_START_SECONDS = 300.0


@contextmanager
def time_to_start() -> Iterator[None]:
    """Wait for a new node for ``_START_SECONDS``; Ray gives up after 30, and has no setting for it.

    Raises:
        ConnectionError: in the block, of a node that takes longer still.
    """
    services: Any = ray._private.services
    get_node = services.get_node

    def wait_for_node(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(gcs_address, node_id)
            except RuntimeError as error:  # it has not registered yet
                if time.monotonic() > deadline:
                    message = f"its processes did not start within {_START_SECONDS:.0f} s"
                    raise ConnectionError(message) from error
            time.sleep(0.5)

    services.get_node = wait_for_node
    try:
        yield
    finally:
        services.get_node = get_node
