"""Find or start Ray, quietly, and know what it has before anything heavy begins."""

import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from preprocessing.errors import SetupError

PACKAGES = ("avcmr", "preprocessing", "raytasks")
"""What travels to the machines of a cluster."""

SECONDS_TO_ANSWER = 10.0
"""How long a cluster may take to answer."""

OBJECT_STORE_BYTES = 512 << 20
"""Shared memory of a local Ray: decoded clips on their way to a network, a few MB each."""

PROXY_FAILURE = "Initialization failure from server"
"""What Ray's client says where the proxy on the head node has lost the process begun for it, which
happens now and then on a busy machine."""

JOINING_ATTEMPTS = 4

METRICS_EVERY_MS = 2_000
"""How often processes of a local Ray export metrics; Ray's own 10 s are as long as some runs."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Ray that work runs on.

    Attributes:
        cpus: in the whole cluster.
        gpus: likewise.
        memory: bytes that Ray lets processes have, in the whole cluster.
        dashboard: how to reach the dashboard, or empty where Ray has none.
        cpus_beside_gpu: that each GPU finds on its machine, where they are fewest.
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
            else "check free memory and disk space in /tmp"
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


def _start() -> Any:
    """A Ray of our own: no telemetry, and an API that asks for a token, as Ray sees to itself.

    Without it other users of this machine could run code through the dashboard's port.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not users_token():  # Ray would leave one in the user's home, for all clusters to come
        os.environ["RAY_AUTH_TOKEN"] = OWN_TOKEN
    return ray.init(
        address="local",  # and not any that "ray start" has left on this machine
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _system_config={
            "metrics_report_interval_ms": METRICS_EVERY_MS,
            # A worker that runs out of memory is retried by us, alone, and not by Ray without end.
            "task_oom_retries": 1,
        },
    )


def _join(address: str, attempts: int = JOINING_ATTEMPTS) -> Any:
    _require_answer(address)
    try:
        return ray.init(
            address=address,
            runtime_env=_runtime_env(),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        if attempts == 1 or PROXY_FAILURE not in str(error):
            raise
    return _join(address, attempts - 1)


def _require_answer(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():  # else a name such as "auto"
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()


def _runtime_env() -> dict[str, Any]:
    """What travels to the machines of a cluster: this very code, whether they have avcmr or not.

    A job that was submitted brings what it was submitted with.
    """
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    beside = Path(__file__).parents[1]
    return {"py_modules": [str(beside / name) for name in PACKAGES]}


def require_ray() -> None:
    """Make sure that the Ray which :func:`connected` started has not died.

    Without its raylet Ray ends this process at the next access to an object, without a word, and
    without its GCS after a minute. So this is to be called before either can happen.

    Raises:
        SetupError: it has.
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

    Its agents outlive a dead GCS by minutes. They are looked for at the start, too: those of a
    raylet that was killed are nobody's children any more.
    """
    node = ray._private.worker._global_node
    started: dict[str, list[Any]] = node.all_processes if node else {}
    roots = [info.process.pid for infos in started.values() for info in infos]
    with ExitStack() as stack:
        handles = _handles(roots, stack)
        try:
            yield
        finally:
            handles += _handles(roots, stack)
            ray.shutdown()
            for handle in handles:
                with suppress(OSError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)


def _handles(roots: Sequence[int], stack: ExitStack) -> list[int]:
    """Of these processes and their descendants; ids might come to be of others."""
    handles = []
    for pid in _with_descendants(roots):
        with suppress(OSError):
            handles.append(os.pidfd_open(pid))
            stack.callback(os.close, handles[-1])
    return handles


def _with_descendants(roots: Sequence[int]) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = list(roots)
    for pid in found:  # which grows as it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _asks_for_token() -> bool:
    """Whether this process shows one, as the user or Ray itself has decided."""
    return os.environ.get("RAY_AUTH_MODE") == "token"


def _about_the_token() -> str:
    """What to try where a cluster does not let us in: it and we must be of one mind."""
    if _asks_for_token():
        return "if it asks for no token, unset RAY_AUTH_MODE"
    return "if it asks for a token, set RAY_AUTH_MODE=token"


def _dashboard(url: str | None, *, local: bool) -> str:
    if not url:
        return ""
    if not local or not _asks_for_token():
        return f"http://{url}"
    # The user's own opens more than this Ray, and is not for logs.
    shown = "as `ray get-auth-token` tells" if users_token() != OWN_TOKEN else OWN_TOKEN
    return f"http://{url} (token {shown})"


OWN_TOKEN = secrets.token_hex(16)
"""What the Rays of this process ask for, where the user has no token."""


def users_token() -> str:
    """That which opens the user's clusters, from where Ray looks for it; empty without one."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
