"""What Ray's dashboard, Prometheus and Grafana show of an extraction or a training.

Ray exports each metric as ``ray_avcmr_…`` on the metrics port of every node. Processes measure at
most once a second or once a clip, in memory; nothing waits for a reader.
"""

import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray.util import metrics
from ray.util.client import ray as client

SECONDS_BETWEEN = 1.0
"""How often a driver publishes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An extraction at one moment.

    Attributes:
        outcomes: clips so far, by ``done`` or the reason of their failure.
        left: clips that are neither done nor failed.
        frames: frames that went through the networks.
        queues: clips that wait, by what for: ``decode``, ``network`` or ``retry``.
        actors: for each process its name, and what it does: ``starting``, ``idle`` or its clip.
    """

    outcomes: Mapping[str, int]
    left: int
    frames: int
    queues: Mapping[str, int]
    actors: Mapping[str, str]


@dataclass(slots=True)
class ExtractionBoard:
    """The metrics of an extraction that its driver knows."""

    _outcomes: metrics.Counter = field(
        default_factory=lambda: _counter("clips", "Clips, by outcome.", "outcome")
    )
    _frames: metrics.Counter = field(
        default_factory=lambda: _counter("frames", "Frames through the networks.")
    )
    _left: metrics.Gauge = field(default_factory=lambda: _gauge("clips_left", "Clips to do."))
    _queues: metrics.Gauge = field(
        default_factory=lambda: _gauge("queue_clips", "Clips that wait.", "queue")
    )
    _actors: metrics.Gauge = field(
        default_factory=lambda: _gauge("actors", "Processes, by what they do.", "kind", "phase")
    )
    _counted: Tally[str] = field(default_factory=Tally)
    _counted_frames: int = 0

    def publish(self, snapshot: Snapshot) -> None:
        """Show this, and count what is new since the last snapshot."""
        for outcome, count in snapshot.outcomes.items():
            if count > self._counted[outcome]:
                self._outcomes.inc(count - self._counted[outcome], {"outcome": outcome})
                self._counted[outcome] = count
        if snapshot.frames > self._counted_frames:
            self._frames.inc(snapshot.frames - self._counted_frames)
            self._counted_frames = snapshot.frames
        self._left.set(snapshot.left)
        for queue, count in snapshot.queues.items():
            self._queues.set(count, {"queue": queue})
        phases = Tally(
            (name.rpartition(" ")[0], phase if phase in {"starting", "idle"} else "working")
            for name, phase in snapshot.actors.items()
        )
        for kind in ("decoder", "extractor"):
            for phase in ("starting", "idle", "working"):
                self._actors.set(phases[kind, phase], {"kind": kind, "phase": phase})


class Publisher:
    """Publishes from the driver; from a process of the cluster where the driver is outside it."""

    def __init__(self) -> None:
        self._due = 0.0
        self._remote = client.is_connected()
        # A driver at ray://… has no metrics of its own: Ray exports those of its own processes.
        self._board: Any = (
            ray.remote(ExtractionBoard).options(num_cpus=0, name="avcmr board").remote()
            if self._remote
            else ExtractionBoard()
        )

    @property
    def due(self) -> bool:
        """Whether the last snapshot is a second old."""
        return time.monotonic() >= self._due

    def publish(self, snapshot: Snapshot) -> None:
        """Show a snapshot; does not wait."""
        self._due = time.monotonic() + SECONDS_BETWEEN
        if self._remote:
            self._board.publish.remote(snapshot)
        else:
            self._board.publish(snapshot)


class ActorBoard:
    """The metrics that each process of an extraction knows of itself."""

    def __init__(self) -> None:
        self._seconds = {
            "decode": _counter("decode_seconds", "Seconds spent decoding."),
            "network": _counter("network_seconds", "Seconds spent in the networks."),
        }
        self._memory = _gauge("gpu_memory_bytes", "GPU memory held by torch.")

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the seconds inside as ``decode`` or ``network``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[what].inc(max(time.perf_counter() - started, 1e-9))
            if torch.cuda.is_initialized():
                self._memory.set(torch.cuda.memory_reserved())


class TrainingBoard:
    """The metrics of a training; for its first worker.

    Args:
        run: name of the run folder.
    """

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

    def publish(self, record: Mapping[str, Any]) -> None:
        """Show an epoch's measurements, a line of ``metrics.jsonl``."""
        for name, gauge in self._gauges.items():
            gauge.set(record[name], self._run)
        for direction in ("audio_to_visual", "visual_to_audio"):
            self._map.set(record[f"val_map_{direction}"], self._run | {"direction": direction})


def _counter(name: str, text: str, *labels: str) -> metrics.Counter:
    return metrics.Counter(f"avcmr_{name}", text, labels)


def _gauge(name: str, text: str, *labels: str) -> metrics.Gauge:
    return metrics.Gauge(f"avcmr_{name}", text, labels)
