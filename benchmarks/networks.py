"""Networks on the CPU against the loop that published extractors use, and against the hardware.

    python benchmarks/networks.py [--threads N] [--clips N] [--rounds N]

The rival takes one clip at a time through the same networks as they come: eager, channels first,
batch norms apart. The limit is what this machine's matrix product reaches on as many threads, for
11.4 GFLOP a frame (Inception-v3) and 1.7 GFLOP an example (VGGish). All in turn, medians. Seconds
are of the processor, so that other programs disturb little.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from preprocessing.audio import vggish_examples
from preprocessing.extractor import FeatureExtractor
from preprocessing.frames import to_inception_input
from preprocessing.inception import load_inception
from preprocessing.media import SAMPLE_RATE, Media, Source
from preprocessing.vggish import untrained_vggish

SECONDS = 10
GFLOP_A_CLIP = SECONDS * 11.4 + int(SECONDS / 0.96) * 1.7
CLIPS_PER_CALL = 4


def random_clip(seed: int) -> Media:
    rng = np.random.default_rng(seed)
    return Media(
        frames=rng.integers(0, 256, (SECONDS, 299, 299, 3), dtype=np.uint8),
        frame_times=np.arange(SECONDS) + 0.5,
        waveform=rng.normal(0, 0.1, SECONDS * SAMPLE_RATE).astype(np.float32),
        duration=float(SECONDS),
        source=Source(size=0, mtime=0),
    )


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clips = [random_clip(seed) for seed in range(arguments.clips)]
    inception, vggish = load_inception("inception_v3_2015"), untrained_vggish(0)
    extractor = FeatureExtractor(
        load_inception("inception_v3_2015"), untrained_vggish(0), None, torch.device("cpu")
    )
    matrix = torch.randn(2048, 2048)

    @torch.inference_mode()
    def obvious() -> None:
        for clip in clips:
            inception(to_inception_input(torch.from_numpy(clip.frames)).contiguous())
            vggish(vggish_examples(torch.from_numpy(clip.waveform)))

    def ours() -> None:
        for first in range(0, len(clips), CLIPS_PER_CALL):
            extractor.extract(clips[first : first + CLIPS_PER_CALL])

    def product() -> None:
        for _ in range(20):
            torch.mm(matrix, matrix)

    ways = {"obvious loop": obvious, "avcmr": ours, "matrix product": product}
    extractor.extract(clips[:1])
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, work in ways.items():
            measured[name].append(seconds(work))
    median = {name: statistics.median(values) for name, values in measured.items()}
    gflops = 20 * 2 * 2.048**3 / median["matrix product"]  # a processor-second
    limit = gflops / GFLOP_A_CLIP
    print(
        f"{arguments.threads} threads, {len(clips)} clips of {SECONDS} s, {arguments.rounds} rounds"
    )
    print(f"matrix product {gflops:.0f} GFLOP/s a core, so at most {limit:.2f} clips/s")
    for name in ("obvious loop", "avcmr"):
        rate = len(clips) / median[name]
        print(f"{name:14} {rate:5.2f} clips/s  {rate / limit:.2f} of the limit")
    pairs = zip(measured["obvious loop"], measured["avcmr"], strict=True)
    ratios = sorted(rival / own for rival, own in pairs)
    print(
        f"avcmr / obvious loop: {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
