"""Extraction of very many clips: what the driver's part of the work costs, in time and memory.

    python benchmarks/scale.py [--clips 20000]

The manifest lists hard links to one file; decoders and networks answer at once, with media and
features as large as those of ten-second clips. What is left is planning, handing out, gathering
and writing. The rival does the same in one process with a plain loop: decode, compute, store.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from preprocessing.catalog.folders import scan_folder
from preprocessing.clips import Clip
from preprocessing.media import Sampling
from preprocessing.media.sampling import frame_times
from preprocessing.media.types import ClipFeatures, Media
from preprocessing.store import FeatureWriter, Provenance
from preprocessing.store.plan import source_of
from raytasks.cluster import connected
from raytasks.extraction.decoding import Decoding
from raytasks.extraction.driver import Extraction
from raytasks.extraction.layout import Layout
from raytasks.monitoring.progress import Progress

PROVENANCE = Provenance(config={}, weights={}, decoder="benchmark")
SECONDS = 10


class InstantDecoder:
    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        return Media(
            frames=np.empty((SECONDS, 299, 299, 3), np.uint8),
            frame_times=frame_times(SECONDS, 1.0),
            waveform=np.empty(SECONDS * 16_000, np.float32),
            duration=float(SECONDS),
            source=source_of(clip.path),
        )


class InstantNetworks:
    def __init__(self, device: torch.device) -> None:
        self._visual = np.random.default_rng(0).random((SECONDS, 2048), np.float32)
        self._audio = np.random.default_rng(1).random((SECONDS, 128), np.float32)

    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        return [
            ClipFeatures(
                visual=self._visual.copy(),
                visual_times=clip.frame_times,
                audio=self._audio.copy(),
                audio_times=clip.frame_times,
                duration=clip.duration,
                source=clip.source,
            )
            for clip in clips
        ]


def plain_loop(clips: Sequence[Clip], out: Path) -> float:
    """Clips a second of one process."""
    decoder, networks = InstantDecoder(), InstantNetworks(torch.device("cpu"))
    with FeatureWriter(out, PROVENANCE) as writer:
        todo = writer.plan(clips).todo
        started = time.perf_counter()
        for clip in todo:
            (features,) = networks.extract([decoder.decode(clip, Sampling())])
            writer.add(clip, features)
        writer.flush()
        return len(todo) / (time.perf_counter() - started)


def timed(name: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    print(f"{name}: {time.perf_counter() - started:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=20_000)
    count = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder) / "videos" / "class"
        videos.mkdir(parents=True)
        first = videos / "000000.mp4"
        first.write_bytes(bytes(1000))
        for number in range(1, count):
            os.link(first, videos / f"{number:06}.mp4")
        clips = scan_folder(videos.parent).clips
        loop = plain_loop(clips, Path(folder) / "loop.h5")
        print(f"{count:,} clips, {len(os.sched_getaffinity(0))} cores")
        print(f"plain loop: {loop:.0f} clips/s")
        out = Path(folder) / "features.h5"
        with connected() as cluster:
            extract_all(clips, out, Layout.fitting(cluster), loop)
        with FeatureWriter(out, PROVENANCE) as writer:
            timed("planning to resume, all in parts", lambda: writer.plan(clips))
            timed("merging the parts", lambda: writer.finish(clips))
            timed("planning, all in one file", lambda: writer.plan(clips))


def extract_all(clips: Sequence[Clip], out: Path, layout: Layout, loop: float) -> None:
    """All clips through Ray, with what that costs the driver."""
    memory: dict[int, int] = {}  # tenths done → peak, KiB

    def note(progress: Progress) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory.setdefault(10 * progress.done // progress.total, peak)

    with FeatureWriter(out, PROVENANCE) as writer:
        timed("planning, nothing done", lambda: writer.plan(clips))
        spent = time.process_time()
        summary = Extraction(
            writer=writer,
            sampling=Sampling(),
            load=InstantNetworks,
            layout=layout,
            decoding=Decoding(InstantDecoder, InstantDecoder),
            on_progress=note,
        ).run(clips)
        spent = time.process_time() - spent
    rate = summary.done / (summary.seconds - summary.starting)
    print(f"through Ray: {rate:.0f} clips/s, {rate / loop:.2f} of the plain loop")
    print(f"driver: {1000 * spent / summary.done:.2f} CPU ms a clip")
    tenth, end = memory[1], memory[max(memory)]
    print(
        f"driver's peak memory: {tenth >> 10} MiB after a tenth, {end >> 10} MiB at the end: "
        f"{1024 * (end - tenth) / (0.9 * summary.done):.0f} bytes a clip"
    )


if __name__ == "__main__":
    main()
