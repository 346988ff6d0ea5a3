"""What Ray's dashboard, Prometheus and Grafana see of a run.

Each process keeps its values in memory, and Ray exports them as ``ray_avcmr_…`` on the metrics port
of its node. Nothing here waits for a reader.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import torch
from ray.util import metrics
from ray.util.client import ray as client

from preprocessing.clips import Clip
from preprocessing.media import Decoder, Sampling
from preprocessing.media.types import ClipFeatures, Media
from raytasks.monitoring.progress import Progress

if TYPE_CHECKING:  # each takes seconds to import, and no process needs both
    from avcmr.training.history import EpochRecord
    from preprocessing.networks.extract_clip import Extractor

_PUBLISHED_EVERY = 1.0
"""Seconds between two publications."""


class _ExtractionBoard:
    """The metrics of an extraction that its driver knows."""

    def __init__(self) -> None:
        self._clips = _counter("clips", "Clips, by outcome: done, or why they failed.", "outcome")
        self._frames = _counter("frames", "Frames through the networks.")
        self._left = _gauge("clips_left", "Clips to do.")
        self._rate = _gauge("clips_per_second", "Clips a second since the start.")
        self._queues = _gauge("queue_clips", "Waiting clips, by what they wait for.", "queue")
        self._processes = _gauge("processes", "Processes, by what they do.", "kind", "phase")
        self._counted: Tally[str] = Tally()
        self._counted_frames = 0

    def publish(self, progress: Progress) -> None:
        """Set the gauges, and count what is new since the last time."""
        outcomes = Tally({"done": progress.done, **progress.reasons})
        for outcome, count in (outcomes - self._counted).items():
            self._clips.inc(count, {"outcome": outcome})
        self._counted = outcomes
        if progress.frames > self._counted_frames:
            self._frames.inc(progress.frames - self._counted_frames)
            self._counted_frames = progress.frames
        self._left.set(progress.left)
        self._rate.set(progress.clips_per_second)
        for queue, count in progress.queues.items():
            self._queues.set(count, {"queue": queue})
        for kind, phases in progress.phases.items():
            for phase, count in phases.items():
                self._processes.set(count, {"kind": kind, "phase": phase})


class Publisher:
    """Publishes the progress of an extraction at most once a second, and its end.

    A driver at ``ray://…`` is not a process of the cluster, so its metrics would not be exported:
    there an actor publishes for it.
    """

    def __init__(self, announce: Callable[[Mapping[str, Any]], None]) -> None:
        self._announce = announce
        self._due = 0.0
        self._remote = client.is_connected()
        self._board: Any = (
            ray.remote(_ExtractionBoard).options(num_cpus=0, name="avcmr board").remote()
            if self._remote
            else _ExtractionBoard()
        )

    def publish(self, progress: Progress) -> None:
        """Show how far the extraction is, and its end in any case; does not wait."""
        if progress.left and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _PUBLISHED_EVERY
        self._announce(progress.summary())
        if self._remote:
            self._board.publish.remote(progress)
        else:
            self._board.publish(progress)


class Stopwatch:
    """The seconds that a process of an extraction spends decoding and in networks."""

    def __init__(self) -> None:
        self._seconds = {
            "decode": _counter("decode_seconds", "Seconds spent decoding."),
            "network": _counter("network_seconds", "Seconds spent in the networks."),
        }
        gpu_memory = _gauge("gpu_memory_bytes", "GPU memory that torch holds.")
        _every_second(lambda: gpu_memory.set(torch.cuda.memory_reserved()))  # 0 without a GPU

    @contextmanager
    def running(self, what: str) -> Iterator[None]:
        """Count the seconds inside as ``decode`` or ``network``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            if seconds > 0:  # Ray takes no other
                self._seconds[what].inc(seconds)


@dataclass(frozen=True, slots=True)
class TimedDecoder:
    """A decoder whose seconds are published."""

    decoder: Decoder
    stopwatch: Stopwatch

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """As the decoder does."""
        with self.stopwatch.running("decode"):
            return self.decoder.decode(clip, sampling)


@dataclass(frozen=True, slots=True)
class TimedExtractor:
    """Networks whose seconds are published."""

    extractor: "Extractor"
    stopwatch: Stopwatch

    def extract(self, clips: Sequence[Media]) -> Sequence[ClipFeatures]:
        """As the networks do."""
        with self.stopwatch.running("network"):
            return self.extractor.extract(clips)


class TrainingBoard:
    """The metrics of a training, for its first worker."""

    def __init__(self, run: str) -> None:
        self._run = {"run": run}
        self._gauges = {
            name: _gauge(f"train_{name}", text, "run")
            for name, text in (
                ("epoch", "Epochs finished."),
                ("stage", "Stage of the curriculum, 1 or 2."),
                ("loss", "Mean loss of the epoch."),
                ("active_triplets", "Share of triplets with a loss, 0 to 1."),
                ("seconds", "Seconds that the epoch took."),
            )
        }
        self._map = _gauge("train_val_map", "MAP on the validation clips.", "run", "direction")
        self._record: Mapping[str, Any] | None = None
        _every_second(self._set)

    def publish(self, record: "EpochRecord") -> None:
        """Show an epoch's measurements, a line of ``metrics.jsonl``, until the next are there."""
        self._record = record

    def _set(self) -> None:
        record = self._record
        if record is None:
            return
        for name, gauge in self._gauges.items():
            gauge.set(record[name], self._run)
        for direction in ("audio_to_visual", "visual_to_audio"):
            self._map.set(record[f"val_map_{direction}"], self._run | {"direction": direction})


def _every_second(set_gauges: Callable[[], None]) -> None:
    """For as long as this process lives: Ray soon drops a gauge that is not set again."""

    def keep_setting() -> None:
        while True:
            set_gauges()
            time.sleep(_PUBLISHED_EVERY)

    threading.Thread(target=keep_setting, daemon=True).start()


def _counter(name: str, text: str, *labels: str) -> metrics.Counter:
    return metrics.Counter(f"avcmr_{name}", text, labels)


def _gauge(name: str, text: str, *labels: str) -> metrics.Gauge:
    return metrics.Gauge(f"avcmr_{name}", text, labels)
