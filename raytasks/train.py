"""Training on Ray: the loop of ``avcmr.training.loop`` in N workers of a Ray Train job."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any

import ray
import ray.train
import torch
from ray.exceptions import RayActorError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.training.history import EpochRecord
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError, UsageError
from raytasks.cluster import Cluster
from raytasks.monitoring.metrics import TrainingBoard

RESTARTS = 3
"""How often workers that died are started anew; each time they resume at the last epoch."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What each training worker takes of the cluster.

    Attributes:
        workers: how many.
        use_gpu: one GPU each, NCCL; else the CPU, gloo.
        cpus: share of the cores each reserves.
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
        # A little is left over, so that Ray's own helpers always find room.
        share = min(1.0, int(0.8 * cores / workers * 1000) / 1000)
        note = (
            f"{workers} workers share {cores} cores ({share:g} of a core each): "
            "no faster than fewer, but the same mathematics"
            if share < 1 and workers > 1 and not use_gpu
            else ""
        )
        return cls(workers, use_gpu, share, max(1, cores // workers), note)


def train_on_ray(run: RunFolder, plan: WorkerPlan, on_epoch: Callable[[EpochRecord], None]) -> None:
    """Train a run that has been opened; returns when its curriculum is finished.

    Args:
        run: the folder, on storage that every node sees; it holds the settings.
        plan: how many workers and what they take.
        on_epoch: called in this process with each epoch's measurements.

    Raises:
        SetupError: the job failed; what was reached is kept, and the same command resumes it.
        KeyboardInterrupt: Ctrl-C; as above.
    """
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    # On the driver's node, so that it outlives any other.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    epochs = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    with _relayed(epochs, on_epoch):
        for restarts_left in reversed(range(RESTARTS + 1)):
            try:
                # Checkpoints are ours; what Ray keeps of the job serves nobody after it.
                with TemporaryDirectory(prefix=".ray-", dir=run.path) as scratch, _interruptible():
                    _trainer(run, plan, epochs, Path(scratch)).fit()
                return
            except ray.train.TrainingFailedError as error:
                if restarts_left and _died_while_starting(error):
                    continue
                reason = str(error).strip().splitlines()[-1]
                raise SetupError(
                    f"{run.path}: training failed ({reason}); "
                    "what was reached is kept, and the same command goes on from there"
                ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt once Ray Train has stopped its workers.

    Ray Train's handler ends the process as if all were well, and is never taken off again.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _died_while_starting(error: ray.train.TrainingFailedError) -> bool:
    """Whether a worker died while Ray Train started or stopped it.

    ``FailureConfig`` starts anew only what dies later: Ray takes a node that was just lost for
    alive for a while, puts a worker there once more, and gives the whole job up as that one dies.
    """
    return isinstance(error, ray.train.ControllerError) and isinstance(
        error.controller_failure, RayActorError
    )


def _trainer(run: RunFolder, plan: WorkerPlan, epochs: Queue, scratch: Path) -> TorchTrainer:
    return TorchTrainer(
        _worker,
        train_loop_config={
            "run": str(run.path.resolve()),
            "threads": plan.threads,
            "epochs": epochs,
        },
        torch_config=TorchConfig(backend="nccl" if plan.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=plan.workers,
            use_gpu=plan.use_gpu,
            resources_per_worker={"CPU": plan.cpus} | ({"GPU": 1} if plan.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=f"avcmr-train-{run.path.name}",
            storage_path=str(scratch.resolve()),
            failure_config=FailureConfig(max_failures=RESTARTS),
        ),
    )


@contextmanager
def _relayed(epochs: Queue, on_epoch: Callable[[EpochRecord], None]) -> Iterator[None]:
    """While inside, hand what workers put into the queue to a callback of this process."""
    ended = threading.Event()

    def relay() -> None:
        while True:
            nothing_more_comes = ended.is_set()
            try:
                while True:
                    on_epoch(epochs.get(timeout=0.2))
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
