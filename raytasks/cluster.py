"""Join a Ray cluster or start Ray here, quietly, and report what it has before work begins."""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from preprocessing.errors import SetupError
from raytasks.processes import handles_of, kill, with_descendants
from raytasks.startup import PACKAGES, packages_first, short_folders, time_to_start

_ANSWER_SECONDS = 10.0
"""How long a cluster may take to answer."""

OBJECT_STORE_BYTES = 512 << 20
"""Shared memory of a local Ray: decoded clips on their way to a network, a few MB each."""

_PROXY_FAILURE = "Initialization failure from server"
"""Ray's client says so where the proxy on the head node has lost the process it started for it,
which happens now and then on a busy machine."""

_JOIN_ATTEMPTS = 4

_START_ATTEMPTS = 3

_METRICS_EVERY_MS = 2_000
"""How often processes of a local Ray export metrics; Ray's own 10 s are as long as some runs."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Ray that work runs on: its CPUs and GPUs, and bytes of memory for processes, in all.

    ``dashboard`` says how to reach the dashboard, and is empty where Ray has none;
    ``cpus_beside_gpu`` are CPUs per GPU, on the machine with GPUs where these are fewest.
    """

    cpus: int
    gpus: int
    memory: int
    dashboard: str
    cpus_beside_gpu: float = 0.0

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
        context = _join(address) if address else _start()
    except (ConnectionError, RuntimeError, ValueError, OSError, AuthenticationError) as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = (
            f"check that a Ray cluster runs at {address}, or leave out --address; "
            f"{_about_the_token()}"
            if address
            else "check free memory, and disk space in /tmp; RAY_TMPDIR names another folder"
        )
        raise SetupError(f"Ray cannot start ({reason}); {remedy}") from None
    with _shut_down():
        have = ray.cluster_resources()
        yield Cluster(
            cpus=int(have.get("CPU", 0)),
            gpus=int(have.get("GPU", 0)),
            memory=int(have.get("memory", 0)),
            dashboard=_dashboard(context.dashboard_url, local=not address),
            cpus_beside_gpu=_cpus_beside_gpu(),
        )


def _cpus_beside_gpu() -> float:
    machines: list[dict[str, float]] = [
        node["Resources"] for node in ray.nodes() if node["Alive"] and "GPU" in node["Resources"]
    ]
    return min((machine.get("CPU", 0) / machine["GPU"] for machine in machines), default=0.0)


def _start(attempts: int = _START_ATTEMPTS) -> Any:
    """A Ray of our own: no telemetry, and an API that asks for a token.

    Without the token other users of this machine could run code through the dashboard's port.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not users_token():  # Ray would leave one in the user's home, for all clusters to come
        os.environ["RAY_AUTH_TOKEN"] = _OWN_TOKEN
    others = set(with_descendants([os.getpid()]))
    try:
        with time_to_start(), short_folders() as environment:
            return ray.init(
                address="local",  # and not any that "ray start" has left on this machine
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=packages_first() | environment,
                _system_config={
                    "metrics_report_interval_ms": _METRICS_EVERY_MS,
                    # A worker that runs out of memory is retried by us, alone, and not by Ray
                    # without end.
                    "task_oom_retries": 1,
                },
            )
    except ConnectionError:
        with ExitStack() as stack:
            started = set(with_descendants([os.getpid()])) - others
            kill(handles_of(sorted(started), stack))
        if attempts == 1:
            raise
    return _start(attempts - 1)


def _join(address: str, attempts: int = _JOIN_ATTEMPTS) -> Any:
    _require_answer(address)
    try:
        return ray.init(
            address=address,
            runtime_env=_runtime_env(),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        if attempts == 1 or _PROXY_FAILURE not in str(error):
            raise
    return _join(address, attempts - 1)


def _require_answer(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():  # else a name such as "auto"
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()


def _runtime_env() -> dict[str, Any]:
    """What is sent to the machines of a cluster: this very code, whether they have avcmr or not.

    A job that was submitted brings what it was submitted with.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    beside = Path(__file__).parents[1]
    return {"py_modules": [str(beside / name) for name in PACKAGES]} | packages_first()


def on_cluster() -> bool:
    """Whether the Ray in use is a cluster that this process has joined, not one of its own."""
    node: Any = ray._private.worker._global_node
    return not (node and node.all_processes)


def free_resources() -> str:
    """What the cluster has left, for messages, and what to do if it is too little."""
    free: dict[str, Any] = ray.available_resources()
    return (
        f"free in the cluster: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g} GPUs, "
        f"{free.get('memory', 0) / 2**30:.1f} GiB; stop other work or add machines"
    )


def require_ray() -> None:
    """Check that the Ray which :func:`connected` started is alive.

    Without its raylet Ray ends this process at the next access to an object, without a word, and
    without its GCS after a minute: call this before either can happen.

    Raises:
        SetupError: it has died.
    """
    node = ray._private.worker._global_node
    dead: set[str] = {name for name, _ in node.dead_processes()} if node else set()
    vital = sorted(dead & {"raylet", "gcs_server"})
    if vital:
        raise SetupError(
            f"Ray's {' and '.join(vital)} died (killed, or out of memory?); "
            "what is finished is kept, and the same command goes on from here"
        )


@contextmanager
def _shut_down() -> Iterator[None]:
    """Leave Ray at the end, and kill what is then left of a local one.

    Its agents outlive a dead GCS by minutes. They are collected at the start, too: those of a
    raylet that was killed have lost their parent.
    """
    node = ray._private.worker._global_node
    started: dict[str, list[Any]] = node.all_processes if node else {}
    roots = [info.process.pid for infos in started.values() for info in infos]
    with ExitStack() as stack:
        handles = handles_of(roots, stack)
        try:
            yield
        finally:
            handles += handles_of(roots, stack)
            ray.shutdown()
            kill(handles)


def _asks_for_token() -> bool:
    """Whether this process uses a token, as the user or Ray itself has decided."""
    return os.environ.get("RAY_AUTH_MODE") == "token"


def _about_the_token() -> str:
    """What to try where a cluster refuses us: both sides must use a token, or neither."""
    if _asks_for_token():
        return "if it asks for no token, unset RAY_AUTH_MODE"
    return "if it asks for a token, set RAY_AUTH_MODE=token"


def _dashboard(url: str | None, *, local: bool) -> str:
    if not url:
        return ""
    if not local or not _asks_for_token():
        return f"http://{url}"
    # The user's own token opens more than this Ray, and does not belong in logs.
    shown = "as `ray get-auth-token` tells" if users_token() != _OWN_TOKEN else _OWN_TOKEN
    return f"http://{url} (token {shown})"


_OWN_TOKEN = secrets.token_hex(16)
"""The token for Rays that this process starts, where the user has none."""


def users_token() -> str:
    """The token of the user's clusters, from where Ray looks for it; empty if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
