"""Ray Train around the loop: the same result, also when a worker is killed."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import ray.train
import torch
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.train import ControllerError
from ray.train.torch import TorchTrainer

from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.training.history import EpochRecord
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError, UsageError
from raytasks.cluster import Cluster
from raytasks.train import RESTARTS, WorkerPlan, train_on_ray

SETTINGS = [
    "batch_size=16",
    "model.hidden=[32]",
    "model.dropout=0",
    "model.input_dropout=0",
    "stage1.max_epochs=5",
    "stage2.max_epochs=3",
    "stage1.patience=99",
    "stage2.patience=99",
]


def open_run(folder: Path, *overrides: str) -> RunFolder:
    features = folder.parent / "paired.h5"
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 40))
    with h5py.File(features, "w") as file:
        for split, count in (("train", 64), ("val", 24), ("test", 24)):
            labels = np.arange(count) % 4
            values = (centres[labels] + rng.normal(size=(count, 40))).astype(np.float32)
            file[f"lab_{split}"] = labels
            file[f"audio_{split}"], file[f"visual_{split}"] = values[:, :16], values[:, 16:]
    config = load_config(None, [*SETTINGS, *overrides]).model_copy(update={"features": features})
    run = RunFolder(folder)
    with run.opened(config, load_dataset(features, config.data)):
        return run  # whose settings the workers read


def parameters(run: RunFolder) -> dict[str, torch.Tensor]:
    tensors = run.load("last").tensors
    return {name: value for name, value in tensors.items() if name.startswith("network.")}


@pytest.mark.slow
def test_four_workers_on_few_cores_give_the_parameters_of_one(cluster, tmp_path) -> None:
    alone = open_run(tmp_path / "alone")
    config = alone.config()
    train(load_dataset(config.features, config.data), config, alone)

    shared = open_run(tmp_path / "shared")
    seen: list[EpochRecord] = []
    plan = WorkerPlan.fitting(cluster, 4, cpu=True)
    train_on_ray(shared, plan, seen.append)
    assert [record["epoch"] for record in seen] == list(range(1, 9))
    assert shared.finished
    for name, expected in parameters(alone).items():
        torch.testing.assert_close(parameters(shared)[name], expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_killed_worker_costs_no_epoch(cluster, tmp_path) -> None:
    """SIGKILL at epoch 3: the workers start anew, resume, and end where they would have."""
    many_epochs = "stage1.max_epochs=300"
    undisturbed = open_run(tmp_path / "undisturbed", many_epochs)
    killed = open_run(tmp_path / "killed", many_epochs)
    config = undisturbed.config()
    train(load_dataset(config.features, config.data), config, undisturbed)
    finished_when_killed: list[bool] = []

    def kill_once(record: EpochRecord) -> None:
        if record["epoch"] >= 3 and not finished_when_killed:
            os.kill(worker_process(), signal.SIGKILL)
            finished_when_killed.append(killed.finished)

    train_on_ray(killed, WorkerPlan.fitting(cluster, 1, cpu=True), kill_once)
    assert finished_when_killed == [False]
    assert killed.finished
    last_epoch = undisturbed.history()[-1]["epoch"]
    assert [record["epoch"] for record in killed.history()] == list(range(1, last_epoch + 1))
    assert all(
        torch.equal(parameters(killed)[name], expected)
        for name, expected in parameters(undisturbed).items()
    )


@pytest.mark.slow
def test_ctrl_c_ends_the_job_and_is_the_caller_s_again(cluster, tmp_path) -> None:
    """Ray Train takes the signal for itself, ends the process, and never gives it back."""
    run = open_run(tmp_path / "run", "stage1.max_epochs=1000")
    handler = signal.getsignal(signal.SIGINT)

    def interrupt_once(record: EpochRecord) -> None:
        if record["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_on_ray(run, WorkerPlan.fitting(cluster, 1, cpu=True), interrupt_once)
    assert run.has("last")
    assert not run.finished
    assert not list(run.path.glob(".ray-*"))
    assert signal.getsignal(signal.SIGINT) is handler


def failing(*errors: ray.train.TrainingFailedError) -> tuple[Callable[..., object], list[int]]:
    """A ``TorchTrainer.fit`` that raises these, one a call, and then is the real one."""
    fit, left, calls = TorchTrainer.fit, list(errors), [0]

    def fit_or_fail(trainer: TorchTrainer) -> object:
        calls[0] += 1
        if left:
            raise left.pop(0)
        return fit(trainer)

    return fit_or_fail, calls


@pytest.mark.slow
def test_a_worker_that_dies_while_it_starts_is_started_anew(cluster, tmp_path, monkeypatch) -> None:
    fit, calls = failing(*[ControllerError(ActorDiedError())] * RESTARTS)
    monkeypatch.setattr(TorchTrainer, "fit", fit)
    run = open_run(tmp_path / "run")
    train_on_ray(run, WorkerPlan.fitting(cluster, 1, cpu=True), lambda record: None)
    assert calls == [RESTARTS + 1]
    assert run.finished
    assert not list(run.path.glob(".ray-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "starts"),
    [
        (ActorUnavailableError("node lost", None), RESTARTS + 1),
        (ValueError("a mistake in a setting"), 1),
    ],
)
def test_starts_that_keep_failing_or_cannot_succeed_are_given_up(
    cluster, tmp_path, monkeypatch, failure: Exception, starts: int
) -> None:
    fit, calls = failing(*[ControllerError(failure)] * 9)
    monkeypatch.setattr(TorchTrainer, "fit", fit)
    with pytest.raises(SetupError, match=rf"run: training failed \({failure}.*same command"):
        train_on_ray(
            open_run(tmp_path / "run"),
            WorkerPlan.fitting(cluster, 1, cpu=True),
            lambda record: None,
        )
    assert calls == [starts]


def worker_process() -> int:
    """The process in which Ray Train runs the loop; of this Ray, as others may train, too."""
    (raylet,) = ray._private.worker._global_node.all_processes["raylet"]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            title = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if parent == raylet.process.pid and b"RayTrainWorker" in title:
            return int(stat.parent.name)
    raise AssertionError("no Ray Train worker is running")


def test_more_workers_than_gpus_are_refused_at_once() -> None:
    machine = Cluster(cpus=16, gpus=2, memory=8 << 30, dashboard="")
    with pytest.raises(UsageError, match=r"4 workers for 2 GPUs.*--workers 2, or --cpu"):
        WorkerPlan.fitting(machine, 4)
    assert WorkerPlan.fitting(machine, None).workers == 2
    assert not WorkerPlan.fitting(machine, 4, cpu=True).use_gpu


@pytest.mark.parametrize(("cpus", "workers"), [(2, 4), (1, 3), (2, 2), (64, 4)])
def test_workers_on_the_cpu_always_fit_and_say_when_they_share(cpus: int, workers: int) -> None:
    plan = WorkerPlan.fitting(Cluster(cpus=cpus, gpus=0, memory=8 << 30, dashboard=""), workers)
    assert 0 < plan.workers * plan.cpus <= cpus
    assert plan.threads >= 1
    assert bool(plan.note) == (workers > 0.8 * cpus)


def test_workers_on_gpus_reserve_what_lies_beside_each() -> None:
    """A head of 8 CPUs, and 4 GPUs on a machine of 2."""
    cluster = Cluster(cpus=10, gpus=4, memory=8 << 30, dashboard="", cpus_beside_gpu=0.5)
    plan = WorkerPlan.fitting(cluster, None)
    assert plan.workers * plan.cpus <= 2
    assert plan.threads == 1


TOO_LARGE = WorkerPlan(workers=2, use_gpu=False, cpus=1000, threads=1)


def test_no_room_for_the_workers_is_said_and_not_waited_for_without_end(
    cluster, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("raytasks.train.START_SECONDS", 3.0)
    monkeypatch.setattr("raytasks.train.PATIENT_SECONDS", 0.0)
    said: list[str] = []
    missing = r"2 workers with 1000 CPU each.*free in the cluster: .* CPUs.*stop other work"
    with pytest.raises(SetupError, match=f"no room for {missing}"):
        train_on_ray(open_run(tmp_path / "run"), TOO_LARGE, lambda record: None, say=said.append)
    assert len(said) == 1
    assert re.match(f"waiting for {missing}", said[0])


def test_ctrl_c_is_heard_while_there_is_no_room(cluster, tmp_path) -> None:
    run = open_run(tmp_path / "run")
    interrupted: list[float] = []

    def interrupt() -> None:
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train_on_ray(run, TOO_LARGE, lambda record: None)
    assert time.monotonic() - interrupted[0] < 10  # 2 on an idle machine
