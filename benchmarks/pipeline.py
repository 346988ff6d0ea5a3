"""The whole extraction against its parts and against a loop without Ray, on the same cores.

    python benchmarks/pipeline.py CLIPS... [--count N] [--rounds N]     (files, or folders)

In turn, on all cores: decoding alone and networks alone, one process a core; one process that
decodes and computes clip after clip, with as many threads as cores; and `avcmr extract`'s own
`Extraction`, its start counted apart and in parts. Where decoding and networks share the cores, no
pipeline can be faster than 1 / (1 / decoding + 1 / networks): that is the limit on the CPU. VGGish
has random weights: its time is the same.
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from media_files import media_files
from preprocessing.clips import Clip
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.types import Media
from preprocessing.networks.extract_clip import CLIPS_PER_FORWARD
from preprocessing.networks.extractor import FeatureExtractor, Networks
from preprocessing.store import FeatureWriter, Provenance
from raytasks.cluster import connected
from raytasks.extraction.driver import Extraction
from raytasks.extraction.layout import Layout

Result = TypeVar("Result")

IMPORTS = "import avcmr.cli, raytasks.extraction.driver, preprocessing.networks.extractor"
"""Of a command that is going to extract."""

load = partial(FeatureExtractor.load, Networks(untrained_audio=True))


@dataclass
class Process:
    """What each process of the parts keeps."""

    decoder: PyAVDecoder = field(default_factory=PyAVDecoder)
    extractor: FeatureExtractor = field(default_factory=lambda: load(torch.device("cpu")))
    media: list[Media] = field(default_factory=list)


process: Process


def start(clips: list[Clip]) -> None:
    global process  # noqa: PLW0603  # a pool's initializer has no other place
    torch.set_num_threads(1)
    process = Process()
    process.media = [process.decoder.decode(clip, Sampling()) for clip in clips]
    process.extractor.extract(process.media[:1])


def decode(clip: Clip) -> None:
    process.decoder.decode(clip, Sampling())


def extract(first: int) -> None:
    process.extractor.extract(process.media[first : first + CLIPS_PER_FORWARD])


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare_loop(clips: list[Clip], threads: int) -> float:
    """Seconds of a process that takes one clip after the other."""
    torch.set_num_threads(threads)
    decoder, extractor = PyAVDecoder(), load(torch.device("cpu"))
    extractor.extract([decoder.decode(clips[0], Sampling())])
    return seconds(
        lambda: [extractor.extract([decoder.decode(clip, Sampling())]) for clip in clips]
    )


def imports() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def with_ray(clips: list[Clip]) -> tuple[dict[str, float], float]:
    """Seconds of each part of the start, and of the work."""
    parts = {
        "imports": seconds(imports),
        "weights": seconds(Networks(untrained_audio=True).origins),
    }
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, connected() as cluster:
        parts["Ray"] = time.perf_counter() - begun
        provenance = Provenance(config={}, weights={}, decoder="benchmark")
        with FeatureWriter(Path(folder) / "features.h5", provenance) as writer:
            writer.plan(clips)
            summary = Extraction(writer, Sampling(), load, Layout.fitting(cluster)).run(clips)
            writer.finish(clips)
    parts["actors, networks"] = summary.starting
    return parts, summary.seconds - summary.starting


def in_a_process(work: Callable[[], Result]) -> Result:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=48, help="clips a round, taken in turn")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    paths = media_files(arguments.clips)
    chosen = itertools.islice(itertools.cycle(paths), arguments.count)
    clips = [Clip(f"{number:05}", path, "label") for number, path in enumerate(chosen)]
    cores = len(os.sched_getaffinity(0))
    rates: dict[str, list[float]] = {
        name: [] for name in ("decoding alone", "networks alone", "bare loop", "avcmr extract")
    }
    starts: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        few = clips[: 2 * CLIPS_PER_FORWARD]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores, context, start, (few,)) as pool:
            list(pool.map(decode, few))  # all processes are up
            decoding = seconds(partial(list, pool.map(decode, clips)))
            groups = [0, CLIPS_PER_FORWARD] * (len(clips) // (2 * CLIPS_PER_FORWARD))
            networks = seconds(partial(list, pool.map(extract, groups)))
        loop = in_a_process(partial(bare_loop, clips, cores))
        start_parts, working = in_a_process(partial(with_ray, clips))
        starts.append(start_parts)
        rates["decoding alone"].append(len(clips) / decoding)
        rates["networks alone"].append(CLIPS_PER_FORWARD * len(groups) / networks)
        rates["bare loop"].append(len(clips) / loop)
        rates["avcmr extract"].append(len(clips) / working)
        print({name: round(values[-1], 2) for name, values in rates.items()}, flush=True)
    report(rates, starts, f"{cores} cores, {len(clips)} clips, {arguments.rounds} rounds")


def report(rates: dict[str, list[float]], starts: list[dict[str, float]], what: str) -> None:
    print(what)
    for name, values in rates.items():
        print(f"{name:16} {statistics.median(values):6.2f} clips/s")
    rounds = list(zip(*rates.values(), strict=True))
    limits: dict[str, Callable[[float, float, float], float]] = {
        "of the slower part alone": lambda decoding, networks, loop: min(decoding, networks),
        "of the limit, both parts on the same cores": lambda decoding, networks, loop: (
            1 / (1 / decoding + 1 / networks)
        ),
        "of the bare loop": lambda decoding, networks, loop: loop,
    }
    for name, limit in limits.items():
        ratios = sorted(own / limit(*parts) for *parts, own in rounds)
        print(f"avcmr: {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) {name}")
    for name in starts[0]:
        print(f"start, {name}: {statistics.median(parts[name] for parts in starts):.1f} s")
    whole = statistics.median(sum(parts.values()) for parts in starts)
    print(f"start, all in all: {whole:.1f} s")


if __name__ == "__main__":
    main()
