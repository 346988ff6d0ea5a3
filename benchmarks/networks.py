"""Networks on the CPU against the loop that published extractors use, and against the hardware.

    python benchmarks/networks.py [--cores N] [--clips N] [--length SECONDS] [--rounds N]

The rival runs one clip at a time through the same networks unoptimized: eager, channels first,
batch norms not folded, one process with as many threads as cores. avcmr runs one single-threaded
process per core on batches of clips, as `avcmr extract` does. The limit is what a matrix product
reaches in as many such processes, for 11.4 GFLOP a frame (Inception-v3) and 1.7 GFLOP an example
(VGGish). All are timed in turn; medians of the rounds, and of their ratios.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache, partial

import numpy as np
import torch

from preprocessing.media.sampling import frame_times
from preprocessing.media.types import SAMPLE_RATE, Media, Source
from preprocessing.networks.extract_clip import CLIPS_PER_FORWARD
from preprocessing.networks.extractor import FeatureExtractor, Networks, Precision
from preprocessing.networks.frames import to_inception_input
from preprocessing.networks.inception import load_inception
from preprocessing.networks.log_mel import EXAMPLE_SECONDS, vggish_examples
from preprocessing.networks.vggish import untrained_vggish

GFLOP_A_FRAME, GFLOP_AN_EXAMPLE = 11.4, 1.7
"""Of Inception-v3 and of VGGish."""

PRODUCTS = 15
"""Matrix products of a round, in each process."""


@lru_cache
def random_clip(seed: int, length: int) -> Media:
    rng = np.random.default_rng(seed)
    return Media(
        frames=rng.integers(0, 256, (length, 299, 299, 3), dtype=np.uint8),
        frame_times=frame_times(length, 1.0),
        waveform=rng.normal(0, 0.1, length * SAMPLE_RATE).astype(np.float32),
        duration=float(length),
        source=Source(size=0, mtime=0),
    )


@lru_cache
def unoptimized() -> tuple[torch.nn.Module, torch.nn.Module]:
    return load_inception("inception_v3_2015"), untrained_vggish(0)


@lru_cache
def ours(precision: Precision) -> FeatureExtractor:
    return FeatureExtractor.load(Networks(untrained_audio=True, precision=precision))


@torch.inference_mode()
def one_by_one(seed: int, length: int) -> None:
    inception, vggish = unoptimized()
    clip = random_clip(seed, length)
    inception(to_inception_input(torch.from_numpy(clip.frames)).contiguous())
    vggish(vggish_examples(torch.from_numpy(clip.waveform)))


def batched(first: int, length: int, precision: Precision = "float32") -> None:
    seeds = range(first, first + CLIPS_PER_FORWARD)
    ours(precision).extract([random_clip(seed, length) for seed in seeds])


def product(_: int) -> None:
    matrix = torch.ones(2048, 2048)
    for _ in range(PRODUCTS):
        torch.mm(matrix, matrix)


def seconds(pool: Executor, work: Callable[[int], None], seeds: range) -> float:
    started = time.perf_counter()
    list(pool.map(work, seeds))
    return time.perf_counter() - started


def pool_of(processes: int, threads: int) -> Executor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, torch.set_num_threads, (threads,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clips", type=int, help="per round; by default 8 per core")
    parser.add_argument("--length", type=int, default=10, help="of a clip, in seconds")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cores, length = arguments.cores, arguments.length
    groups = max(cores, (arguments.clips or 8 * cores) // CLIPS_PER_FORWARD)
    clips = groups * CLIPS_PER_FORWARD
    loop, full = partial(one_by_one, length=length), partial(batched, length=length)
    half = partial(full, precision="bfloat16")
    with pool_of(1, threads=cores) as one, pool_of(cores, threads=1) as many:
        ways = {
            "obvious loop": partial(seconds, one, loop, range(clips)),
            "avcmr": partial(seconds, many, full, range(0, clips, CLIPS_PER_FORWARD)),
            "avcmr, bfloat16": partial(seconds, many, half, range(0, clips, CLIPS_PER_FORWARD)),
            "matrix product": partial(seconds, many, product, range(cores)),
        }
        for work in ways.values():
            work()  # warm up: networks are loaded, clips generated
        measured: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, work in ways.items():
                measured[name].append(work())
    report(measured, cores, clips, length)


def report(measured: dict[str, list[float]], cores: int, clips: int, length: int) -> None:
    median = {name: statistics.median(values) for name, values in measured.items()}
    gflops = cores * PRODUCTS * 2 * 2.048**3 / median["matrix product"]
    examples = int(length / EXAMPLE_SECONDS)
    limit = gflops / (length * GFLOP_A_FRAME + examples * GFLOP_AN_EXAMPLE)
    rounds = len(measured["avcmr"])
    print(f"{cores} cores, {clips} clips of {length} s, {rounds} rounds")
    print(f"matrix product {gflops:.0f} GFLOP/s, so at most {limit:.2f} clips/s")
    for name in ("obvious loop", "avcmr", "avcmr, bfloat16"):
        rate = clips / median[name]
        print(f"{name:15} {rate:5.2f} clips/s  {rate / limit:.2f} of the limit")
    for name in ("avcmr", "avcmr, bfloat16"):
        pairs = zip(measured["obvious loop"], measured[name], strict=True)
        ratios = sorted(rival / own for rival, own in pairs)
        spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
        print(f"{name} / obvious loop: {statistics.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    main()
