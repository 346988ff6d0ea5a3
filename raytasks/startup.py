"""What lets a local Ray start on busy machines, with a long ``$TMPDIR``, beside a user's files."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import ray

from raytasks.processes import with_descendants

PACKAGES = ("avcmr", "preprocessing", "raytasks")
"""What is sent to the machines of a cluster."""

_FOLDER_BYTES = 36
"""The longest folder whose sessions Ray can keep its sockets in: their paths, which are 70 longer,
may have 107 bytes."""

_START_SECONDS = 300.0


@contextmanager
def time_to_start() -> Iterator[None]:
    """Wait for a new node for ``_START_SECONDS``; Ray gives up after 30, and has no setting for it.

    Raises:
        ConnectionError: in the block, of a node that takes longer still, or whose raylet has died:
            one that waits more than 15 seconds for its agents ends itself.
    """
    services: Any = ray._private.services
    get_node = services.get_node

    def wait_for_node(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(gcs_address, node_id)
            except RuntimeError as error:  # it has not registered yet
                if not _raylet_runs():
                    raise ConnectionError("its raylet died while it started") from error
                if time.monotonic() > deadline:
                    message = f"its processes did not start within {_START_SECONDS:.0f} s"
                    raise ConnectionError(message) from error
            time.sleep(0.5)

    services.get_node = wait_for_node
    try:
        yield
    finally:
        services.get_node = get_node


def _raylet_runs() -> bool:
    for pid in with_descendants([os.getpid()]):
        with suppress(OSError):
            program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
            if program.endswith(b"/raylet"):
                return True
    return False


def packages_first() -> dict[str, Any]:
    """Let workers import our packages before the working folder is on their path.

    Ray puts it first, and a user's ``preprocessing.py`` in it would hide ours. Only where there is
    such a file, since processes that Ray has started ahead cannot be used then.
    """
    folder = Path.cwd()
    hidden = any((folder / f"{name}{end}").exists() for name in PACKAGES for end in ("", ".py"))
    if not hidden or folder == Path(__file__).parents[1]:
        return {}
    return {"worker_process_setup_hook": f"{__name__}.{import_packages.__name__}"}


def import_packages() -> None:
    """Import each of our packages; run in each new worker, before anything else."""
    for name in PACKAGES:
        import_module(name)


@contextmanager
def short_folders() -> Iterator[dict[str, Any]]:
    """While inside, Ray finds folders for its sockets that are short enough, one of our own.

    Yields:
        What workers get back for their own files: the ``$TMPDIR`` that batch systems set.
    """
    long = {
        name: folder
        for name in ("TMPDIR", "RAY_TMPDIR")
        if len(os.fsencode(folder := os.environ.get(name, ""))) > _FOLDER_BYTES
    }
    if long:
        own = Path(f"/tmp/avcmr-ray-{os.getuid()}")
        own.mkdir(mode=0o700, exist_ok=True)
        os.environ.update(dict.fromkeys(long, str(own)))
    try:
        yield {"env_vars": long} if long else {}
    finally:
        os.environ.update(long)
