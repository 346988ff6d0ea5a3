"""Decoding against its limit: CPU time relative to ``ffmpeg -f null``, which decodes everything.

    python benchmarks/decode.py CLIPS...         (files, or folders that are searched)

Every clip is decoded by ffmpeg on one thread, by our decoder, and by parts of it that could be
left out, in turn; CPU seconds are summed over the clips, and the median over the rounds is taken.
CPU time, unlike time on the clock, hardly feels what else the machine is doing.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import decord
import numpy as np
import torch

from media_files import media_files
from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import DECODERS, Decoder, Sampling
from preprocessing.media.headers import opened
from preprocessing.media.outcome import try_decode
from preprocessing.media.reading import Reading
from preprocessing.remote import Fetched

LIMIT = "ffmpeg -f null (the limit)"


def ffmpeg_null(path: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-f", "null", "-"]
    subprocess.run(command, check=True)


def whole_clip(decoder: Decoder) -> Callable[[Path], object]:
    """Frames at 1 a second in network size, and sound at 16 kHz."""
    return lambda path: decoder.decode(Clip("clip", path, "label"), Sampling())


def usable() -> dict[str, Decoder]:
    """The decoders that this machine has what it takes for."""
    decoders = {}
    for name, backend in DECODERS.items():
        try:
            decoders[name] = backend.make()
        except SetupError as error:
            print(f"without {name}: {error}")
    return decoders


def all_can_decode(path: Path, decoders: dict[str, Decoder]) -> bool:
    for name, decoder in decoders.items():
        with Fetched([path]) as fetched:
            outcome = try_decode(decoder, Clip("clip", path, "label"), Sampling(), fetched)
        if isinstance(outcome, ClipError):
            print(f"without {path.name}: {name} refuses it")
            return False
    return True


def sound_only(path: Path) -> None:
    with opened(path) as container:
        Reading.of(container, Clip("clip", path, ""), Sampling()).sound()


def all_frames(path: Path) -> None:
    """Every frame at full size, the way a reader without sampling works."""
    reader = decord.VideoReader(str(path), num_threads=1)
    for start in range(0, len(reader), 32):
        reader.get_batch(np.arange(start, min(start + 32, len(reader))))


def cpu_seconds(work: Callable[[Path], object], paths: list[Path]) -> float:
    def used() -> float:
        return sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )

    before = used()
    for path in paths:
        work(path)
    return used() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    paths = media_files(arguments.clips)
    torch.set_num_threads(1)  # as in the decoding processes of `avcmr extract`
    decoders = usable()
    paths = [path for path in paths if all_can_decode(path, decoders)]
    ways: dict[str, Callable[[Path], object]] = {
        LIMIT: ffmpeg_null,
        **{f"avcmr, {name}": whole_clip(decoder) for name, decoder in decoders.items()},
        "  of which sound": sound_only,
        "decord, every frame, no sound": all_frames,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, work in ways.items():
            seconds[name].append(cpu_seconds(work, paths))
    limit = statistics.median(seconds[LIMIT])
    print(f"{len(paths)} clips, {arguments.rounds} rounds, {sys.version.split()[0]}")
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values) / limit:.2f}–{max(values) / limit:.2f}"
        print(f"{name:32} {median / len(paths):6.3f} CPU s/clip  {median / limit:5.2f} ({spread})")


if __name__ == "__main__":
    main()
