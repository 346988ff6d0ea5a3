"""Actors that may hang or die, and are replaced when they do."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, Literal, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import (
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)

from preprocessing.errors import AvcmrError, SetupError
from raytasks.cluster import free_resources
from raytasks.extraction.reports import Reports

Job = TypeVar("Job")
Death = Literal["timeout", "crash", "error", "out_of_memory", "lost"]
"""How a job ended without a result: ``error`` is an unexpected exception, and ``lost`` is the loss
of its node, through no fault of the job."""

_NUMBERS: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))

START_SECONDS = 180.0
"""How long an actor may take to start: imports and weights, on a slow disk."""

STARTS = 3
"""Actors that may die in a row while they start, once one has come up."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Job]):
    """How a job ended.

    Attributes:
        job: the job.
        value: what its method returned; where that was several values, the first.
        refs: references to the others, which may be large and are not fetched.
        death: how its actor died, if it did; there is no value then,
        said: the error message in one line, if there is one.
        overdue: names of the parts that took too long; the others are not to blame.
    """

    job: Job
    value: Any = None
    refs: Sequence[ray.ObjectRef] = ()
    death: Death | None = None
    said: str = ""
    overdue: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Named:
    handle: ActorHandle
    name: str


@dataclass(slots=True)
class _Busy(Generic[Job]):
    actor: _Named
    job: Job | None  # None while the actor starts
    refs: list[ray.ObjectRef]
    seconds: float
    what: str = "starting"
    reports: Reports | None = None
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.extend()

    def extend(self) -> None:
        """Give it all its time once more."""
        self.deadline = time.monotonic() + self.seconds

    def overdue(self) -> frozenset[str] | None:
        """None while it is in time, else the parts of its job that are to blame."""
        if self.reports:
            if self.reports.update():
                self.extend()
            if self.reports.overdue or self.reports.frozen:
                return self.reports.overdue
        return frozenset() if self.deadline < time.monotonic() else None


@dataclass
class SupervisedPool(Generic[Job]):
    """``size`` actors, each with one job at a time, so that a death has one suspect.

    Attributes:
        make_actor: starts an actor of the given name that has a method ``ready()``, which prepares
            it for its jobs.
        method: the method that does a job.
        size: how many actors.
        kind: what they are called: each is ``KIND NUMBER``. No two of a driver share a number, as
            Ray may take a while to forget those of an earlier run.
        report: the method by which a working actor reports which parts of its job it is at, and
            for how many seconds each, by name; the actor must be able to run it beside the job.
        part_seconds: how long each part may take, if there are reports.
    """

    make_actor: Callable[[str], ActorHandle]
    method: str
    size: int
    kind: str = "actor"
    report: str | None = None
    part_seconds: float = math.inf
    _started: bool = False
    _failed_starts: int = 0
    _idle: list[_Named] = field(default_factory=list)
    _busy: dict[ray.ObjectRef, _Busy[Job]] = field(default_factory=dict)

    def start(self) -> None:
        """Start the actors, without waiting for them."""
        for _ in range(self.size):
            self._start_one()

    @property
    def idle(self) -> int:
        """Actors that wait for a job."""
        return len(self._idle)

    @property
    def actors(self) -> int:
        """Actors there are; the start may still take them a while."""
        return len(self._idle) + len(self._busy)

    @property
    def started(self) -> bool:
        """Whether any actor has come up."""
        return self._started

    @property
    def working(self) -> int:
        """Jobs under way."""
        return sum(busy.job is not None for busy in self._busy.values())

    @property
    def watched(self) -> list[ray.ObjectRef]:
        """References for ``ray.wait``: one per actor that works or starts."""
        return list(self._busy)

    @property
    def doing(self) -> dict[str, str]:
        """What each actor does, by its name: ``starting``, ``idle``, or the name of its job."""
        return {actor.name: "idle" for actor in self._idle} | {
            busy.actor.name: busy.what for busy in self._busy.values()
        }

    def submit(
        self, job: Job, *arguments: object, seconds: float = math.inf, name: str = "working"
    ) -> None:
        """Give a job to an idle actor, for at most so many seconds, or so many without news of one
        of its parts.

        It has ended when its first reference is ready. Its name is for :attr:`doing`; Ray's own
        name of the call stays the method's, as for each name Ray keeps 27 KB in this process.
        """
        actor = self._idle.pop()
        refs = getattr(actor.handle, self.method).remote(*arguments)
        refs = refs if isinstance(refs, list) else [refs]
        ask = getattr(actor.handle, self.report).remote if self.report else None
        reports = Reports(ask, self.part_seconds) if ask else None
        self._busy[refs[0]] = _Busy(actor, job, refs, seconds, name, reports)

    def collect(self, ready: set[ray.ObjectRef]) -> Iterator[Outcome[Job]]:
        """Jobs that ended: those whose first reference is ``ready``, and those past deadline.

        Raises:
            SetupError: an actor did not start in time, or says what its machine lacks.
        """
        yield from self._ended(ready)
        yield from self._overdue()

    def _ended(self, ready: set[ray.ObjectRef]) -> Iterator[Outcome[Job]]:
        for ref in [ref for ref in self._busy if ref in ready]:
            busy = self._busy.pop(ref)
            try:
                value = ray.get(ref)
            except ObjectLostError:  # its arguments were lost with another node
                self._idle.append(busy.actor)
                if busy.job is not None:
                    yield Outcome(busy.job, death="lost")
            except (
                RayActorError,
                OutOfMemoryError,
                MemoryError,
            ) as error:  # Ray's memory monitor, our guard
                death = _death(error)
                if busy.job is None and death != "lost":
                    self._failed_starts += 1
                    if not self._started or self._failed_starts == STARTS:
                        raise self._not_started(str(error).partition("\n")[0]) from None
                self._replace(busy.actor)
                if busy.job is not None:
                    yield Outcome(busy.job, death=death)
            except RayTaskError as error:
                if isinstance(error.cause, AvcmrError):
                    raise error.cause from None
                # Where code of ours or of a library has failed: Ray's message ends with its error.
                said = str(error).strip().rpartition("\n")[2]
                if busy.job is None:
                    raise self._not_started(said) from None
                self._replace(busy.actor)  # after some errors CUDA works no more in a process
                yield Outcome(busy.job, death="error", said=said)
            else:
                self._started, self._failed_starts = True, 0
                self._idle.append(busy.actor)
                if busy.job is not None:
                    yield Outcome(busy.job, value, busy.refs[1:])

    def _overdue(self) -> Iterator[Outcome[Job]]:
        for ref, busy in list(self._busy.items()):
            overdue = busy.overdue()
            if overdue is None:
                continue
            if busy.job is None and (self._idle or self.working):
                busy.extend()  # the others do its work; it starts when there is room for it
                continue
            del self._busy[ref]
            if busy.job is None:
                raise SetupError(
                    f"no process to {self.method} clips could start within "
                    f"{START_SECONDS:.0f} s; {free_resources()}"
                )
            self._replace(busy.actor)
            yield Outcome(busy.job, death="timeout", overdue=overdue)

    def _not_started(self, cause: str) -> SetupError:
        return SetupError(
            f"a process to {self.method} clips died while starting ({cause}); {free_resources()}"
        )

    def _start_one(self) -> None:
        name = f"{self.kind} {next(_NUMBERS[self.kind])}"
        actor: Any = self.make_actor(name)
        ref: ray.ObjectRef = actor.ready.remote()
        named = _Named(actor, name)
        self._busy[ref] = _Busy(named, None, [ref], START_SECONDS)

    def _replace(self, actor: _Named) -> None:
        ray.kill(actor.handle)  # also one that hangs in native code
        self._start_one()


def _death(error: RayActorError | OutOfMemoryError | MemoryError) -> Death:
    if isinstance(error, OutOfMemoryError | MemoryError):
        return "out_of_memory"
    # Of a node that is suddenly gone Ray says first that its actors are unavailable, and after some
    # seconds that they have died with it. It has no class of its own for that.
    gone = isinstance(error, ActorUnavailableError) or "its node has died" in str(error)
    return "lost" if gone else "crash"
