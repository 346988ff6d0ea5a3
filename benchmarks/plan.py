"""Time, disk and machines that the extraction of well-known data sets needs.

    python benchmarks/plan.py CLIPS... [--cores N] [--days N]       (files, or folders)

Measures what a second of these clips costs one core (decoding, networks) and how many bytes its
features take, and extrapolates; the size of the videos as well. For a machine with GPUs give its
measured rate: --clips-per-second, of ten-second clips.
"""

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from media_files import media_files
from preprocessing.clips import Clip
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.networks.extract_clip import CLIPS_PER_FORWARD
from preprocessing.networks.extractor import FeatureExtractor, Networks

CLIP_SECONDS = 10


@dataclass(frozen=True)
class DataSet:
    name: str
    clips: int
    seconds: float
    """Of a clip, on average."""


DATA_SETS = (
    DataSet("AVE", 4_143, 10),
    DataSet("VEGAS", 28_103, 7),
    DataSet("AudioSet-2M", 2_084_320, 10),
)


@dataclass(frozen=True)
class Cost:
    """Of one second of a clip: core-seconds, bytes of features, bytes of video."""

    work: float
    features: float
    video: float


def measure(paths: list[Path]) -> Cost:
    torch.set_num_threads(1)
    decoder = PyAVDecoder()
    extractor = FeatureExtractor.load(Networks(untrained_audio=True))
    extractor.extract([decoder.decode(Clip("warm", paths[0], ""), Sampling())])
    spent, seconds, features = 0.0, 0.0, 0
    for first in range(0, len(paths), CLIPS_PER_FORWARD):
        before = time.process_time()
        group = paths[first : first + CLIPS_PER_FORWARD]
        media = [decoder.decode(Clip("clip", path, ""), Sampling()) for path in group]
        found = extractor.extract(media)
        spent += time.process_time() - before
        seconds += sum(clip.duration for clip in media)
        features += sum(
            array.nbytes
            for clip in found
            for array in (clip.visual, clip.audio, clip.visual_times, clip.audio_times)
        )
    video = sum(path.stat().st_size for path in paths)
    return Cost(spent / seconds, features / seconds, video / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=12, help="clips to measure")
    parser.add_argument("--cores", type=int, default=16, help="of one machine")
    parser.add_argument("--days", type=float, default=1, help="to finish in")
    parser.add_argument("--clips-per-second", type=float, help="of one machine, if known")
    arguments = parser.parse_args()
    paths = media_files(arguments.clips)
    cost = measure(paths[:: max(1, len(paths) // arguments.count)])
    rate = arguments.clips_per_second or arguments.cores / (cost.work * CLIP_SECONDS)
    console = Console()
    console.print(
        f"one second of a clip: {cost.work:.3f} core-seconds; so a machine does "
        f"{rate:.1f} clips of {CLIP_SECONDS} s a second"
    )
    table = Table(
        "data set", "clips", "hours, one machine", "features", "while merging", "videos", "machines"
    )
    for data in DATA_SETS:
        footage = data.clips * data.seconds
        hours = footage / CLIP_SECONDS / rate / 3600
        table.add_row(
            data.name,
            f"{data.clips:,}",
            f"{hours:,.1f}",
            f"{footage * cost.features / 1e9:,.1f} GB",
            f"{2 * footage * cost.features / 1e9:,.1f} GB",
            f"{footage * cost.video / 1e9:,.0f} GB",
            f"{math.ceil(hours / 24 / arguments.days)} for {arguments.days:g} d",
        )
    console.print(table)


if __name__ == "__main__":
    main()
