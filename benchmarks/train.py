"""Training: the step against a rival and its limit, an epoch of VEGAS's size, several workers.

    python benchmarks/train.py steps   [--rounds N]     needs pip install pytorch-metric-learning
    python benchmarks/train.py vegas   [--epochs N] [--threads N]
    python benchmarks/train.py workers [--epochs N]

``steps``: semi-hard mining and loss in both directions, forward and backward, as CPU seconds of
one thread. The rival is pytorch-metric-learning's miner and loss; it returns every semi-hard
negative, of which the nearest is kept without counting that time, and then both losses are the
same number. The lower bound is the distance matrix alone, forward and backward.
``vegas``: 22,482 × (128 + 1024) synthetic features, both stages, wall time.
``workers``: the same with 1, 2 and 4 gloo workers of one thread, beside what one worker's time is
made of.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import normalize
from torch.optim import AdamW

from avcmr.config import Config, SemiHardStage
from avcmr.config_files import load_config
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.loop import train
from avcmr.training.losses import BatchLoss, cross_modal_loss, stage_loss
from avcmr.training.run_folder import RunFolder

DIM, CLASSES = 32, 15
MARGIN = 0.2
VEGAS_CONFIG = Path(__file__).parents[1] / "configs" / "vegas.yaml"


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def batch(size: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % CLASSES
    centres = torch.randn(CLASSES, DIM, generator=generator)[labels]
    audio, visual = (
        normalize(centres + torch.randn(size, DIM, generator=generator), dim=1).requires_grad_()
        for _ in range(2)
    )
    return audio, visual, labels


def ours(audio: Tensor, visual: Tensor, labels: Tensor) -> Tensor:
    loss = cross_modal_loss(audio, visual, labels, SemiHardStage(margin=MARGIN)).value
    loss.backward()
    return loss.detach()


def products(audio: Tensor, visual: Tensor) -> None:
    (audio @ visual.T).sum().backward()


class Rival:
    """pytorch-metric-learning in both directions; labels are compared by identity, so copied."""

    def __init__(self) -> None:
        try:
            from pytorch_metric_learning import distances, losses, miners
        except ImportError:
            raise SystemExit("the rival is missing: pip install pytorch-metric-learning") from None
        cosine = distances.CosineSimilarity()
        self._all = miners.TripletMarginMiner(2, type_of_triplets="semihard", distance=cosine)
        self._one = miners.BatchEasyHardMiner("easy", "semihard", distance=cosine)
        self._loss = losses.TripletMarginLoss(MARGIN, distance=cosine)

    def same_selection(self, audio: Tensor, visual: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """The loss, and CPU seconds without those of keeping the nearest negative."""
        total, spent = torch.zeros(()), 0.0
        for anchors, others in ((audio, visual), (visual, audio)):
            started = time.process_time()
            triplets = self._all(anchors, labels, others, labels.clone())
            spent += time.process_time() - started
            nearest = self._nearest(triplets, anchors, others)
            started = time.process_time()
            loss = self._loss(anchors, labels, nearest, others, labels.clone())
            loss.backward()
            spent += time.process_time() - started
            total += loss.detach()
        return total, spent

    def one_an_anchor(self, audio: Tensor, visual: Tensor, labels: Tensor) -> None:
        """Its quickest semi-hard miner: the easiest positive alone. Another selection."""
        for anchors, others in ((audio, visual), (visual, audio)):
            triplets = self._one(anchors, labels, others, labels.clone())
            self._loss(anchors, labels, triplets, others, labels.clone()).backward()

    @staticmethod
    @torch.no_grad()
    def _nearest(
        triplets: tuple[Tensor, ...], anchors: Tensor, others: Tensor
    ) -> tuple[Tensor, ...]:
        anchor, positive, negative = triplets
        similarity = (anchors @ others.T)[anchor, negative]
        pair = anchor * len(others) + positive
        best = similarity.new_full((len(anchors) * len(others),), -2)
        best.scatter_reduce_(0, pair, similarity, "amax")
        kept = similarity == best[pair]
        return anchor[kept], positive[kept], negative[kept]


def step(size: int, rival: Rival, rounds: int) -> None:
    audio, visual, labels = batch(size)
    gigabytes = 24 * size**3 / CLASSES / 1e9  # of the rival's triplets, three int64 each
    ours(audio, visual, labels)
    times: dict[str, list[float]] = {"ours": [], "same": [], "one": [], "products": []}
    for _ in range(rounds):
        times["ours"].append(cpu_seconds(lambda: ours(audio, visual, labels)))
        times["one"].append(cpu_seconds(lambda: rival.one_an_anchor(audio, visual, labels)))
        times["products"].append(cpu_seconds(lambda: products(audio, visual)))
        if gigabytes < 4:
            value, spent = rival.same_selection(audio, visual, labels)
            times["same"].append(spent)
            torch.testing.assert_close(value, ours(audio, visual, labels), rtol=0, atol=1e-5)
    median = {name: statistics.median(values) * 1e3 for name, values in times.items() if values}
    print(
        f"B = {size}: ours {median['ours']:.1f} ms, "
        f"{median['ours'] / median['products']:.0f} times the products' {median['products']:.2f} ms"
    )
    if "same" in median:
        ratio = median["same"] / median["ours"]
        print(f"  rival, same selection: {median['same']:.0f} ms, {ratio:.1f} times ours")
    else:
        print(f"  rival, same selection: not run, its triplets would take {gigabytes:.0f} GB")
    ratio = median["one"] / median["ours"]
    print(f"  rival, one triplet an anchor: {median['one']:.1f} ms, {ratio:.2f} times ours")


def steps(rounds: int) -> None:
    torch.set_num_threads(1)
    rival = Rival()
    for size in (256, 1024, 4096):
        step(size, rival, rounds)


def vegas_dataset() -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def part(clips: int) -> PairedFeatures:
        labels = torch.randint(0, 10, (clips,), generator=generator)
        audio, visual = (
            centres[labels] + 4 * torch.randn(clips, centres.shape[1], generator=generator)
            for centres in (audio_centres, visual_centres)
        )
        return PairedFeatures(tuple(map(str, range(clips))), audio, visual, labels)

    audio_centres, visual_centres = (torch.randn(10, d, generator=generator) for d in (128, 1024))
    names = tuple(map(str, range(10)))
    return Dataset(part(22_482), part(2_248), part(2), names, (), "synthetic")


def vegas_config(epochs: int) -> Config:
    stages = (
        f"{stage}.{key}" for stage in ("stage1", "stage2") for key in ("max_epochs", "patience")
    )
    return load_config(VEGAS_CONFIG, [f"{key}={epochs}" for key in stages])


def train_once(dataset: Dataset, config: Config, folder: Path) -> dict[int, list[float]]:
    """Seconds of each epoch, by stage; on rank 0."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    run = RunFolder(folder)
    first = not dist.is_initialized() or dist.get_rank() == 0
    with run.opened(config, dataset) if first else nullcontext():
        train(
            dataset,
            config,
            run,
            on_epoch=lambda record: seconds[record["stage"]].append(record["seconds"]),
        )
    return seconds


def vegas(epochs: int, threads: int) -> None:
    torch.set_num_threads(threads)
    dataset, config = vegas_dataset(), vegas_config(epochs)
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), time.process_time()
        seconds = train_once(dataset, config, Path(folder) / "run")
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"{dataset!r}, batches of {config.batch_size}, {threads} threads")
    for stage, values in seconds.items():
        print(f"stage {stage}: {len(values)} epochs, {statistics.median(values):.2f} s each")
    print(f"in all {wall:.1f} s of wall time, {cpu:.1f} s of CPU time")


def one_worker_parts(dataset: Dataset, config: Config) -> None:
    """What a step of one worker is made of, in CPU milliseconds."""
    torch.set_num_threads(1)
    clips, size = dataset.train[range(config.batch_size)], config.batch_size
    network = TwoBranchNetwork.fitting(dataset, config.model)
    optimizer = AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)

    def embed_and_back() -> None:
        audio, visual = network(clips.audio, clips.visual)
        (audio.sum() + visual.sum()).backward()

    def loss(of_stage: BatchLoss) -> None:
        audio, visual = (rows.detach().requires_grad_() for rows in embedded)
        of_stage(audio, visual, clips.labels).value.backward()

    embedded = network(clips.audio, clips.visual)
    first, second = (
        stage_loss(stage, network, dataset.train, seed=0)
        for stage in (config.stage1, config.stage2)
    )
    embed_and_back()
    for name, work in {
        f"networks, {size} clips, forward and backward": embed_and_back,
        "optimiser": optimizer.step,
        "mining and loss of stage 1": lambda: loss(first),
        "mining and loss of stage 2": lambda: loss(second),
    }.items():
        milliseconds = statistics.median(cpu_seconds(work) for _ in range(9)) * 1e3
        print(f"  {name}: {milliseconds:.1f} ms")


def worker(rank: int, count: int, epochs: int, folder: str) -> None:
    torch.set_num_threads(1)
    if count > 1:
        dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=count)
    cpu = time.process_time()
    seconds = train_once(vegas_dataset(), vegas_config(epochs), Path(folder) / "run")
    if rank == 0:
        stages = ", ".join(
            f"stage {stage} {statistics.median(values):.2f} s" for stage, values in seconds.items()
        )
        print(
            f"{count} workers: {stages} an epoch; CPU time of the first "
            f"{(time.process_time() - cpu) / (2 * epochs):.2f} s an epoch",
            flush=True,
        )
    if dist.is_initialized():
        dist.destroy_process_group()


def workers(epochs: int) -> None:
    print(f"one step of one worker, {os.cpu_count()} cores:")
    one_worker_parts(vegas_dataset(), vegas_config(epochs))
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            spawn(worker, (count, epochs, folder), nprocs=count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["steps", "vegas", "workers"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.part == "steps":
        steps(arguments.rounds)
    elif arguments.part == "vegas":
        vegas(arguments.epochs, arguments.threads)
    else:
        workers(arguments.epochs)


if __name__ == "__main__":
    main()
