"""Find or start Ray, quietly, and know what it has before anything heavy begins."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Read by Ray when it is imported: no telemetry, and an API that asks for a token, so that other
# users of this machine cannot run code through the dashboard's port.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
# A worker that runs out of memory is retried by us, alone, and not by Ray without end.
os.environ.setdefault("RAY_task_oom_retries", "1")

import ray

from preprocessing.errors import SetupError

OBJECT_STORE_BYTES = 512 << 20
"""Shared memory of a local Ray: decoded clips on their way to a network, a few MB each."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Ray that work runs on.

    Attributes:
        cpus: in the whole cluster.
        gpus: likewise.
        memory: bytes that Ray lets processes have, in the whole cluster.
        dashboard: how to reach the dashboard, or empty where Ray has none.
    """

    cpus: int
    gpus: int
    memory: int
    dashboard: str

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, {self.gpus} GPUs; dashboard {self.dashboard or 'off'}"


@contextmanager
def connected(address: str | None = None) -> Iterator[Cluster]:
    """Join the cluster at ``address`` or ``$RAY_ADDRESS``, else start Ray on this machine.

    Raises:
        SetupError: no cluster answers there, or Ray cannot start.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            context = ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            context = ray.init(
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = (
            f"check that a Ray cluster runs at {address}, or leave out --address"
            if address
            else "check free memory and disk space in /tmp"
        )
        raise SetupError(f"Ray cannot start ({reason}); {remedy}") from None
    try:
        have = ray.cluster_resources()
        yield Cluster(
            cpus=int(have.get("CPU", 0)),
            gpus=int(have.get("GPU", 0)),
            memory=int(have.get("memory", 0)),
            dashboard=_dashboard(context.dashboard_url, local=not address),
        )
    finally:
        ray.shutdown()


def _dashboard(url: str | None, *, local: bool) -> str:
    if not url:
        return ""
    token = f" (token {os.environ['RAY_AUTH_TOKEN']})" if local else ""
    return f"http://{url}{token}"
