"""Actors that hang, die or fail, in a pool of real ones."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray
from ray import cloudpickle

from preprocessing.errors import SetupError
from raytasks.extraction.pool import Job, Outcome, SupervisedPool

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

pytestmark = pytest.mark.usefixtures("cluster")


class Worker:
    """Does what it is told."""

    def ready(self) -> None: ...

    def work(self, order: str) -> int:
        if order == "hang":
            time.sleep(3600)
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "fail":
            raise ZeroDivisionError("from deep inside")
        if order == "give up":
            raise MemoryError("too much")
        if order == "ask for setup":
            raise SetupError("no weights here; put them there")
        return os.getpid()

    @ray.method(num_returns=2)
    def both(self, order: str) -> tuple[str, str]:
        return order, order.upper()


def pool_of(
    actor: type, *arguments: object, size: int = 1, method: str = "work"
) -> SupervisedPool[str]:
    remote = ray.remote(actor)

    def make(name: str) -> ray.actor.ActorHandle:
        return remote.options(num_cpus=0, name=name).remote(*arguments)

    pool: SupervisedPool[str] = SupervisedPool(make, method=method, size=size, kind="worker")
    pool.start()
    return pool


def collect(pool: SupervisedPool[Job], *, until: Callable[[], bool]) -> list[Outcome[Job]]:
    """What ends until a condition holds; for as long as the machine takes."""
    outcomes: list[Outcome[Job]] = []
    while not until():
        ready, _ = ray.wait(pool.watched, timeout=0.5)
        outcomes += pool.collect(set(ready))
    return outcomes


def done(pool: SupervisedPool[str], order: str, seconds: float = 3600) -> Outcome[str]:
    """How a job ends."""
    collect(pool, until=lambda: bool(pool.idle))
    pool.submit(order, order, seconds=seconds, name=order)
    assert order in pool.doing.values()
    (outcome,) = collect(pool, until=lambda: not pool.working)
    assert outcome.job == order
    assert pool.actors == pool.size
    return outcome


def test_jobs_end_with_a_value_or_with_how_their_actor_died() -> None:
    pool = pool_of(Worker)
    assert set(pool.doing.values()) == {"starting"} and not pool.started
    first = done(pool, "work").value
    assert done(pool, "work").value == first  # the same process
    assert pool.started and set(pool.doing.values()) == {"idle"}
    for order, death in (
        ("die", "crash"),
        ("fail", "error"),
        ("give up", "out_of_memory"),
    ):
        outcome = done(pool, order)
        assert (outcome.value, outcome.death) == (None, death)
    assert done(pool, "fail").said == "ZeroDivisionError: from deep inside"
    assert done(pool, "hang", seconds=0.1).death == "timeout"
    assert done(pool, "work").value != first
    with pytest.raises(SetupError, match=r"^no weights here; put them there$"):
        done(pool, "ask for setup")


def test_further_values_stay_where_they_are() -> None:
    outcome = done(pool_of(Worker, method="both"), "a")
    assert outcome.value == "a"
    assert ray.get(list(outcome.refs)) == ["A"]


def test_no_room_for_an_actor_is_said_and_not_waited_for(monkeypatch) -> None:
    monkeypatch.setattr("raytasks.extraction.pool.START_SECONDS", 2.0)

    @ray.remote(num_cpus=1000)
    class TooLarge:
        def ready(self) -> None: ...

    pool: SupervisedPool[int] = SupervisedPool(
        lambda name: TooLarge.remote(), method="ready", size=1
    )
    pool.start()
    with pytest.raises(SetupError, match=r"could start within 2 s; free in the cluster: .* CPUs"):
        while True:
            ready, _ = ray.wait(pool.watched, timeout=0.5)
            list(pool.collect(set(ready)))


class Unstable:
    """Comes up, does one job, and leaves nothing for those after it to start with."""

    def __init__(self, folder: Path, healthy: int) -> None:
        self.folder, self.healthy = folder, healthy

    def ready(self) -> None:
        starts = len(list(self.folder.iterdir()))
        (self.folder / str(starts)).touch()
        if starts in range(1, self.healthy):
            os.kill(os.getpid(), signal.SIGKILL)

    def work(self, number: int) -> int:
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


@pytest.mark.parametrize(("healthy", "survives"), [(3, True), (9, False)])
def test_actors_that_die_while_they_start(tmp_path: Path, healthy: int, survives: bool) -> None:
    """Once one has come up the next may die, but not one after the other without end."""
    actor = ray.remote(Unstable)
    pool: SupervisedPool[int] = SupervisedPool(
        lambda name: actor.options(num_cpus=0).remote(tmp_path, healthy), method="work", size=1
    )
    pool.start()
    outcomes = []

    def until(count: int) -> None:
        while len(outcomes) < count:
            if pool.idle:
                pool.submit(len(outcomes), len(outcomes))
            ready, _ = ray.wait(pool.watched, timeout=0.5)
            outcomes.extend(pool.collect(set(ready)))

    if survives:
        until(2)
        assert [(outcome.value, outcome.death) for outcome in outcomes] == [
            (None, "crash"),
            (1, None),
        ]
    else:
        with pytest.raises(SetupError, match=r"died while starting \(.*\); free in the cluster"):
            until(2)


class Reporter:
    """Does its parts one by one, and reports which it is at."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.reported = threading.Semaphore(0)

    def ready(self) -> None: ...

    def work(self, *parts: str) -> int:
        for part in parts:
            self.at = {part: time.monotonic()}
            if part == "hang":
                time.sleep(3600)
            if part == "freeze":
                ctypes.PyDLL(None).sleep(3600)  # while no other thread of Python may run
            if part == "freeze once reported":
                for _ in range(2):  # who asks again has had the first answer
                    self.reported.acquire()
                ctypes.PyDLL(None).sleep(3600)
            if part == "take three reports":
                for _ in range(3):
                    self.reported.acquire()
        self.at = {}
        return len(parts)

    def at_work(self) -> dict[str, float]:
        report = {part: time.monotonic() - began for part, began in self.at.items()}
        if report:
            self.reported.release()
        return report


@pytest.mark.parametrize(
    ("parts", "overdue"),
    [
        (("a", "hang", "b"), {"hang"}),
        (("a", "freeze once reported", "b"), {"freeze once reported"}),
        (("freeze",), set()),  # it may not have come to report it
    ],
)
def test_a_part_that_hangs_is_to_blame_alone(
    monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], overdue: set[str]
) -> None:
    monkeypatch.setattr("raytasks.extraction.reports.SILENCE_SECONDS", 2.0)
    actor = ray.remote(max_concurrency=2)(Reporter)
    pool: SupervisedPool[tuple[str, ...]] = SupervisedPool(
        lambda name: actor.options(num_cpus=0, name=name).remote(),
        method="work",
        size=1,
        kind="reporter",
        report="at_work",
        part_seconds=5,
    )
    pool.start()
    collect(pool, until=lambda: bool(pool.idle))
    pool.submit(parts, *parts)
    (outcome,) = collect(pool, until=lambda: not pool.working)
    assert (outcome.job, outcome.death) == (parts, "timeout")
    assert outcome.overdue in ({*overdue}, {*parts} & {"freeze"})
    collect(pool, until=lambda: bool(pool.idle))  # another process
    parts = ("a", "take three reports", "b", "take three reports")
    pool.submit(parts, *parts, seconds=3600)
    (outcome,) = collect(pool, until=lambda: not pool.working)
    assert (outcome.value, outcome.death, outcome.overdue) == (4, None, frozenset())
