"""Training on Ray: the loop of ``avcmr.training.loop`` in N workers of a Ray Train job."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any

import ray
import ray.train
import torch
from ray.exceptions import GetTimeoutError, RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.training.history import EpochRecord
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError, UsageError
from raytasks.cluster import Cluster, free_resources, on_cluster
from raytasks.monitoring.metrics import TrainingBoard
from raytasks.monitoring.status import Activity, announced

RESTARTS = 3
"""How often workers that died are restarted; each time they resume after the last epoch."""

START_SECONDS = 180.0
"""How long the cluster may take to have room for the workers."""

PATIENT_SECONDS = 5.0
"""How long that is waited for without a word."""

_RESTART_WAITS = 9
"""Minutes that a job under way may wait for room, such as for a node in place of a lost one."""

_ABORT_SECONDS = 1.0
"""What Ray Train may take to stop a job by itself at Ctrl-C."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What each training worker takes of the cluster.

    Attributes:
        workers: how many.
        use_gpu: one GPU each, NCCL; else the CPU, gloo.
        cpus: cores each reserves, at most one.
        threads: torch threads of each.
        note: what the user should know, or empty.
    """

    workers: int
    use_gpu: bool
    cpus: float
    threads: int
    note: str = ""

    @classmethod
    def fitting(cls, cluster: Cluster, workers: int | None, *, cpu: bool = False) -> "WorkerPlan":
        """By default one worker per GPU, or one on the CPU.

        Raises:
            UsageError: more workers than GPUs.
        """
        use_gpu = cluster.gpus > 0 and not cpu
        workers = workers or (cluster.gpus if use_gpu else 1)
        if use_gpu and workers > cluster.gpus:
            raise UsageError(
                f"{workers} workers for {cluster.gpus} GPUs: each worker needs one of its own; "
                f"use --workers {cluster.gpus}, or --cpu to train on the {cluster.cpus} cores"
            )
        cores = max(cluster.cpus, 1)
        cores_per_worker = cluster.cpus_beside_gpu if use_gpu else cores / workers
        # A little is left over, so that Ray's own helpers always find room.
        share = min(1.0, int(0.8 * cores_per_worker * 1000) / 1000)
        note = (
            f"{workers} workers share {cores} cores ({share:g} of a core each): "
            "no faster than fewer, but the same mathematics"
            if share < 1 and workers > 1 and not use_gpu
            else ""
        )
        return cls(workers, use_gpu, share, max(1, int(cores_per_worker)), note)

    @property
    def resources(self) -> dict[str, float]:
        """What one worker reserves."""
        return {"CPU": self.cpus} | ({"GPU": 1} if self.use_gpu else {})

    def __str__(self) -> str:
        each = ", ".join(f"{amount:g} {kind}" for kind, amount in self.resources.items())
        return f"{self.workers} workers with {each} each"


def train_on_ray(
    run: RunFolder,
    plan: WorkerPlan,
    on_epoch: Callable[[EpochRecord], None],
    *,
    say: Callable[[str], None] = lambda message: None,
) -> None:
    """Train a run that has been opened; returns when its curriculum is finished.

    The run folder lies on storage that every node sees. ``on_epoch`` is called in this process with
    each epoch's measurements, ``say`` with what the user should know meanwhile.

    Raises:
        SetupError: the cluster has no room for the workers, or the job failed; what was reached
            is kept, and the same command resumes it.
        KeyboardInterrupt: Ctrl-C; as above.
    """
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    _wait_for_room(plan, say)
    # On the driver's node, so that it outlives any other.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    epochs = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    last = run.history()[-1:]
    activity = Activity("training", run.path.name, last[0] if last else {})
    with (
        announced(activity, on_cluster=on_cluster()) as announce,
        _relayed(epochs, announce, on_epoch),
    ):
        for restarts_left in reversed(range(RESTARTS + 1)):
            try:
                # Checkpoints are ours; what Ray keeps of the job serves nobody after it.
                with TemporaryDirectory(prefix=".ray-", dir=run.path) as scratch:
                    _trainer(run, plan, epochs, Path(scratch)).fit()
                return
            except ray.train.TrainingFailedError as error:
                if restarts_left and _died_while_starting(error):
                    continue
                reason = _reason(error, plan)
                raise SetupError(
                    f"{run.path}: training failed ({reason}); "
                    "what was reached is kept, and the same command goes on from there"
                ) from error


def _wait_for_room(plan: WorkerPlan, say: Callable[[str], None]) -> None:
    """Return once the cluster has what the workers reserve; Ray Train would wait without end.

    Raises:
        SetupError: it has not within ``START_SECONDS``.
    """
    group = placement_group([plan.resources] * plan.workers, strategy="PACK")
    try:
        started, said = time.monotonic(), False
        while not group.wait(0.5):  # in short waits, so that Ctrl-C is heard
            waited = time.monotonic() - started
            if waited > START_SECONDS:
                raise SetupError(
                    f"no room for {plan} within {START_SECONDS:.0f} s; {free_resources()}"
                )
            if waited > PATIENT_SECONDS and not said:
                said = True
                say(f"waiting for {plan}; {free_resources()}")
    finally:
        remove_placement_group(group)


class _InterruptibleTrainer(TorchTrainer):
    """Stops its job at Ctrl-C and raises KeyboardInterrupt.

    Ray Train's own handler waits for a controller that may itself be waiting for resources, ends
    the process as if all were well, and is never taken off again.
    """

    _controller: Any = None

    def _register_sigint_handler(self, controller: Any) -> None:
        self._controller = controller

    def fit(self) -> ray.train.Result:
        try:
            return super().fit()
        except KeyboardInterrupt:
            if self._controller is not None:
                with suppress(GetTimeoutError, RayActorError):
                    ray.get(self._controller.abort.remote(), timeout=_ABORT_SECONDS)
                ray.kill(self._controller)  # and with it its workers
            raise


def _reason(error: ray.train.TrainingFailedError, plan: WorkerPlan) -> str:
    failure = getattr(error, "controller_failure", None)
    if isinstance(failure, WorkerGroupStartupTimeoutError):
        return f"no room any more for {plan}; {free_resources()}"
    return str(error).strip().splitlines()[-1]


def _died_while_starting(error: ray.train.TrainingFailedError) -> bool:
    """Whether a worker died while Ray Train started or stopped it.

    ``FailureConfig`` restarts only what dies later: Ray takes a node that was just lost for
    alive for a while, puts a worker there once more, and gives the whole job up as that one dies.
    """
    return isinstance(error, ray.train.ControllerError) and isinstance(
        error.controller_failure, RayActorError
    )


def _trainer(run: RunFolder, plan: WorkerPlan, epochs: Queue, scratch: Path) -> TorchTrainer:
    return _InterruptibleTrainer(
        _worker,
        train_loop_config={
            "run": str(run.path.resolve()),
            "threads": plan.threads,
            "epochs": epochs,
        },
        torch_config=TorchConfig(backend="nccl" if plan.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=plan.workers, use_gpu=plan.use_gpu, resources_per_worker=plan.resources
        ),
        run_config=RunConfig(
            name=f"avcmr-train-{run.path.name}",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(
                max_failures=RESTARTS,
                controller_failure_limit=_RESTART_WAITS,  # type: ignore[call-arg]
            ),
        ),
    )


@contextmanager
def _relayed(epochs: Queue, *callbacks: Callable[[EpochRecord], None]) -> Iterator[None]:
    """While inside, pass what workers put into the queue to callbacks in this process."""
    ended = threading.Event()

    def relay() -> None:
        while True:
            nothing_more_comes = ended.is_set()
            try:
                while True:
                    record = epochs.get(timeout=0.2)
                    for callback in callbacks:
                        callback(record)
            except Empty:
                if nothing_more_comes:
                    return

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _worker(settings: dict[str, Any]) -> None:
    """What each Ray Train worker runs."""
    torch.set_num_threads(settings["threads"])
    run = RunFolder(Path(settings["run"]))
    config = load_config(run.config_file)
    assert config.features is not None  # the driver has opened the run with it
    dataset = load_dataset(config.features, config.data)
    board = TrainingBoard(run.path.name)

    def publish(record: EpochRecord) -> None:
        board.publish(record)
        settings["epochs"].put(record)

    train(dataset, config, run, device=get_device(), on_epoch=publish)
