"""The two-stage curriculum, on one worker or as one of many."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.tensorboard import SummaryWriter

from avcmr.config import Config
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.model.distributed import agree, gather, replicate, world
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.batches import derived_seed, global_batch_size, global_batches
from avcmr.training.curriculum import Curriculum, Verdict
from avcmr.training.history import EpochRecord, Measured
from avcmr.training.losses import BatchLoss, stage_loss
from avcmr.training.run_folder import Checkpoint, RunFolder
from avcmr.training.validation import Validation, validate


def train(
    dataset: Dataset,
    config: Config,
    run: RunFolder,
    *,
    device: torch.device | None = None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Curriculum:
    """Train until the curriculum is finished, resuming from the run folder.

    Randomness depends on (seed, epoch) alone: a run that was stopped and resumed equals an
    uninterrupted one, and many workers compute what one does. Call it in every worker of a
    ``torch.distributed`` group, or alone.

    The run folder must be open. ``on_epoch`` is called on rank 0 with each epoch's measurements.

    Raises:
        UsageError: there are too few clips for the workers, or batches that the classes cannot
            share evenly.
    """
    # data
    device = device or torch.device("cpu")
    rank, workers = world()
    batch_size = global_batch_size(config, dataset.train, workers=workers)
    train_part, val_part = dataset.train.to(device), dataset.val.to(device)
    with torch.random.fork_rng():
        # network
        torch.manual_seed(config.seed)
        network = TwoBranchNetwork.fitting(dataset, config.model).to(device)
        network.audio.fit_scaling(train_part.audio, train_part.labels)
        network.visual.fit_scaling(train_part.visual, train_part.labels)

        # resume
        state, optimizer = _resume(run, network, config)
        if state.finished:
            return state
        replicated = replicate(network)
        log = _open_log(run, state) if rank == 0 else None

        verdict: Verdict = "continue"
        while verdict != "stop":
            # one epoch
            started, before = time.monotonic(), state
            torch.manual_seed(derived_seed(config.seed, state.epoch, 1))  # see SharedDropout
            batches = global_batches(
                dataset.train.labels,
                batch_size,
                classes_per_batch=config.classes_per_batch,
                seed=config.seed,
                epoch=state.epoch,
            )
            loss = stage_loss(
                state.settings(config),
                network,
                train_part,
                seed=derived_seed(config.seed, state.epoch, 2),
            )
            measured = _train_epoch(replicated, optimizer, train_part, batches=batches, loss=loss)

            # validate and judge: on rank 0 for all, so that rounding cannot separate the workers
            validation: Validation = agree(
                validate(network, train_part, val_part) if rank == 0 else None
            )
            state, verdict = state.after_epoch(validation["val_map"], config)

            # keep the best weights, and log
            if log:
                record: EpochRecord = {
                    "epoch": state.epoch,
                    "stage": before.stage,
                    **measured,
                    **validation,
                    "best": state.best,
                    "verdict": verdict,
                    "seconds": time.monotonic() - started,
                }
                if state.improved:
                    run.save("best", _best_checkpoint(network, dataset, state))
                _write_log(log, run, record)
                on_epoch(record)
            agree(None)  # the others wait until rank 0 has written

            # stage 2 starts from the best weights, with fresh moments
            if verdict == "switch":
                network.load_state_dict(run.load("best").tensors)
                optimizer = _optimizer(network, config, state)

            # where to resume
            if log:
                run.save("last", _last_checkpoint(network, optimizer, dataset, state))
        if log:
            log.close()
    return state


def _train_epoch(
    network: nn.Module,
    optimizer: AdamW,
    clips: PairedFeatures,
    *,
    batches: list[Tensor],
    loss: BatchLoss,
) -> Measured:
    rank, workers = world()
    network.train()
    total = torch.zeros((), device=clips.labels.device)
    triplets = active = 0
    for batch in batches:
        share = batch.chunk(workers)[rank].to(clips.labels.device)  # (B / workers,)
        audio, visual = network(clips.audio[share], clips.visual[share])  # (B / workers, D)
        labels = clips.labels[batch.to(clips.labels.device)]  # (B,)
        mined = loss(gather(audio), gather(visual), labels)
        network.zero_grad()
        mined.value.backward()
        optimizer.step()
        total += mined.value.detach()
        triplets += mined.triplets
        active += mined.active
    return {
        "loss": float(total) / len(batches),
        "triplets": triplets / len(batches),
        "active_triplets": active / max(triplets, 1),
    }


def _optimizer(network: nn.Module, config: Config, state: Curriculum) -> AdamW:
    rate = state.settings(config).learning_rate
    return AdamW(network.parameters(), lr=rate, weight_decay=config.weight_decay)


def _resume(run: RunFolder, network: TwoBranchNetwork, config: Config) -> tuple[Curriculum, AdamW]:
    last = run.load("last") if run.has("last") else None
    state = Curriculum(**last.metadata["curriculum"]) if last else Curriculum()
    optimizer = _optimizer(network, config, state)
    if last:
        network.load_state_dict(_below("network.", last.tensors))
        _load_moments(optimizer, _below("optimizer.", last.tensors))
    return state, optimizer


def _moments(optimizer: AdamW) -> dict[str, Tensor]:
    """``INDEX.NAME`` → tensor: the moments of each parameter, none before the first step."""
    of_parameters = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i in of_parameters for name, value in of_parameters[i].items()}


def _load_moments(optimizer: AdamW, tensors: Mapping[str, Tensor]) -> None:
    of_parameters: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        of_parameters.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": of_parameters})


def _best_checkpoint(network: TwoBranchNetwork, dataset: Dataset, state: Curriculum) -> Checkpoint:
    return Checkpoint(
        tensors=dict(network.state_dict()),
        metadata={
            "stage": state.best_stage,
            "epoch": state.best_epoch,
            "val_map": state.best,
            "class_names": dataset.class_names,
            "warnings": dataset.warnings,
            "fingerprint": dataset.fingerprint,
        },
    )


def _last_checkpoint(
    network: TwoBranchNetwork, optimizer: AdamW, dataset: Dataset, state: Curriculum
) -> Checkpoint:
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    moments = {f"optimizer.{name}": value for name, value in _moments(optimizer).items()}
    metadata = {"curriculum": asdict(state), "fingerprint": dataset.fingerprint}
    return Checkpoint(weights | moments, metadata)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _open_log(run: RunFolder, state: Curriculum) -> SummaryWriter:
    run.rewind(state.epoch)
    log = SummaryWriter(str(run.tensorboard))
    for record in run.history():
        _write_scalars(log, record)
    return log


def _write_log(log: SummaryWriter, run: RunFolder, record: EpochRecord) -> None:
    run.append_metrics(record)
    _write_scalars(log, record)
    log.flush()


def _write_scalars(log: SummaryWriter, record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        if isinstance(value, int | float):
            log.add_scalar(name, value, record["epoch"])
