"""What runs now: every driver keeps a record of how far it is, for as long as it lives.

On the driver's machine the record is a locked file: the system releases the locks of a process
however it ends. On a cluster that the driver has joined it is an actor as well, which ends with
the driver.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

_NAMESPACE = "avcmr"
"""Of the actors that hold records."""

ANSWER_SECONDS = 5.0
"""How long such an actor may take to answer."""


@dataclass(frozen=True, slots=True)
class Activity:
    """An extraction to a feature store, or the training of a run, that runs now.

    ``state`` is the ``Progress.summary()`` of an extraction, the last line of ``metrics.jsonl`` of
    a training; empty until there is one.
    """

    kind: Literal["extraction", "training"]
    name: str
    state: Mapping[str, Any]


@contextmanager
def announced(activity: Activity, *, on_cluster: bool = False) -> Iterator[Callable[[Any], None]]:
    """While inside, the activity is among :func:`running`; what is given takes its new state.

    Where no file can be written, the work goes on unannounced.

    ``on_cluster``: Ray is connected to a cluster that others ask for what runs.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_locked_file())
        actor = _actor() if on_cluster else None

        def update(state: Mapping[str, Any]) -> None:
            record = json.dumps(astuple(Activity(activity.kind, activity.name, state)))
            if file:
                # One write, and no truncation: a reader takes the first line and never half of it.
                os.pwrite(file.fileno(), f"{record}\n".encode(), 0)
            if actor:
                actor.update.remote(record)

        update(activity.state)
        yield update


@contextmanager
def running(address: str | None = None) -> Iterator[Callable[[], list[Activity]]]:
    """What is given reads all that runs: of this user on this machine, or on a cluster.

    Raises:
        SetupError: no cluster answers there.
    """
    if not address:
        yield lambda: [Activity(*json.loads(record)) for record in _records_here()]
        return
    from raytasks.cluster import connected

    with connected(address):
        yield lambda: [Activity(*json.loads(record)) for record in _records_on_cluster()]


def _folder() -> Path:
    """The same in every shell, whatever its TMPDIR."""
    return Path(os.environ.get("AVCMR_STATUS_DIR", f"/tmp/avcmr-status-{os.getuid()}"))


@contextmanager
def _locked_file() -> Iterator[IO[str] | None]:
    path = _folder() / f"{uuid4().hex}.json"
    aside = path.with_suffix(".tmp")
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = stack.enter_context(aside.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)  # before anyone can take it for a dead process's
            aside.replace(path)
        except OSError:
            yield None
            return
        stack.callback(path.unlink, missing_ok=True)
        yield file


def _records_here() -> Iterator[str]:
    for path in sorted(_folder().glob("*.json")):
        with suppress(OSError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if record := file.readline():
                    yield record
            else:  # its process was killed
                path.unlink()


def _actor() -> Any:
    import ray

    class Record:
        def __init__(self) -> None:
            self.record = ""

        def update(self, record: str) -> None:
            self.record = record

        def read(self) -> str:
            return self.record

    actor = ray.remote(num_cpus=0, max_restarts=-1)(Record)
    return actor.options(name=uuid4().hex, namespace=_NAMESPACE).remote()


def _records_on_cluster() -> Iterator[str]:
    import ray
    from ray.exceptions import GetTimeoutError, RayActorError
    from ray.util import list_named_actors

    for actor in list_named_actors(all_namespaces=True):
        if actor["namespace"] == _NAMESPACE:
            with suppress(ValueError, RayActorError, GetTimeoutError):  # it has just ended
                handle: Any = ray.get_actor(actor["name"], _NAMESPACE)
                if record := ray.get(handle.read.remote(), timeout=ANSWER_SECONDS):
                    yield record
