"""Extraction on Ray: decoders and networks as actors, one driver that never touches a frame."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import ray
import torch
from ray.actor import ActorHandle

from preprocessing.audio import EXAMPLE_SECONDS
from preprocessing.clips import Clip
from preprocessing.decode import Decoder, PyAVDecoder, Sampling
from preprocessing.errors import ClipError, Reason, SetupError
from preprocessing.extractor import FeatureExtractor, Networks
from preprocessing.media import ClipFeatures, Media
from preprocessing.store import FeatureWriter
from raytasks.cluster import Cluster
from raytasks.pool import Death, Outcome, SupervisedPool

CLIPS_PER_FORWARD = 4
"""Decoded clips that one network call takes: some forty frames of ten-second clips."""

ATTEMPTS = 2
"""A clip whose decoder died is tried once more, in a fresh process, alone."""

Decoded = tuple[Clip, ray.ObjectRef]
"""A clip and a reference to its media, which the driver passes on but never fetches."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many actors there are and what each takes of the cluster.

    Attributes:
        decoders: processes that decode.
        extractors: processes that hold the networks.
        decoder_cpus: share of a core each decoder reserves.
        extractor_cpus: cores each extractor reserves.
        extractor_gpus: GPUs each extractor reserves.
        threads: torch threads of each extractor.
    """

    decoders: int
    extractors: int
    decoder_cpus: float
    extractor_cpus: float
    extractor_gpus: float
    threads: int

    @classmethod
    def fitting(cls, cluster: Cluster) -> "Layout":
        """One network per GPU and decoders on the cores; without GPUs, both share every core."""
        cpus = max(cluster.cpus, 1)
        if cluster.gpus:
            extractors = min(cluster.gpus, cpus)
            cores = max(cpus - extractors, 1)
            return cls(
                decoders=cores,
                extractors=extractors,
                decoder_cpus=(cpus - extractors * 0.5) / cores if cpus > extractors else 0.5,
                extractor_cpus=0.5,
                extractor_gpus=1,
                threads=1,
            )
        extractors = max(1, round(cpus / 4))
        threads = cpus // extractors
        return cls(
            decoders=cpus,
            extractors=extractors,
            decoder_cpus=0.5,
            extractor_cpus=threads / 2,
            extractor_gpus=0,
            threads=threads,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an extraction is; clips that were done before it began do not count."""

    done: int
    failed: int
    total: int
    seconds: float

    @property
    def clips_per_second(self) -> float:
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What an extraction did."""

    done: int
    failed: int
    reasons: dict[str, int]
    seconds: float
    frames: int
    sound_seconds: float


@ray.remote(max_restarts=0)
class DecodeActor:
    """Decodes one clip at a time, in a process that may die of it."""

    def __init__(self, decoder: Callable[[], Decoder], sampling: Sampling) -> None:
        torch.set_num_threads(1)
        self._decoder = decoder()
        self._sampling = sampling

    def ready(self) -> None:
        """Return once the process is up."""

    @ray.method(num_returns=2)
    def decode(self, clip: Clip) -> tuple[ClipError | None, Media | None]:
        """What is wrong with the clip, for the driver; and the media, which it never fetches."""
        try:
            return None, self._decoder.decode(clip, self._sampling)
        except ClipError as error:
            return error, None
        except Exception as error:  # whatever a file provokes in a decoder is the file's fault
            return ClipError("corrupt", f"{clip.path}: {type(error).__name__}: {error}"), None


@ray.remote(max_restarts=0)
class ExtractActor:
    """Holds the networks on one device."""

    def __init__(self, networks: Networks, threads: int) -> None:
        torch.set_num_threads(threads)
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        self._extractor = FeatureExtractor.load(networks, device)

    def ready(self) -> None:
        """Return once the networks are loaded."""

    def extract(self, *media: Media) -> list[ClipFeatures]:
        """Features of some decoded clips."""
        return self._extractor.extract(media)


@dataclass(slots=True)
class Extraction:
    """One run over the clips that are to do. Build it and call :meth:`run`.

    Attributes:
        writer: where finished and failed clips go, one by one.
        sampling: how clips are sampled.
        networks: which networks.
        layout: how many actors.
        decoder: makes the decoder of each decoding process.
        clip_seconds: how long one clip may take to decode.
        fail_fast: stop at the first clip that fails, instead of going on without it.
        on_progress: called at least twice a second.
    """

    writer: FeatureWriter
    sampling: Sampling
    networks: Networks
    layout: Layout
    decoder: Callable[[], Decoder] = PyAVDecoder
    clip_seconds: float = 300.0
    fail_fast: bool = False
    on_progress: Callable[[Progress], None] = lambda progress: None

    _decoded: deque[Decoded] = field(default_factory=deque)
    _deaths: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _done: int = 0
    _frames: int = 0
    _sound_seconds: float = 0.0

    def run(self, clips: Sequence[Clip]) -> Summary:
        """Extract the clips; each is stored or recorded as failed when this returns.

        Raises:
            SetupError: the cluster has no room for the actors, the store cannot be written, or
                a clip has failed and ``fail_fast`` is set.
        """
        started = time.monotonic()
        todo = deque(clips)
        decoders: SupervisedPool[Clip] = SupervisedPool(
            self._make_decoder,
            method="decode",
            size=min(self.layout.decoders, len(clips)),
            seconds=self.clip_seconds,
        )
        extractors: SupervisedPool[list[Decoded]] = SupervisedPool(
            self._make_extractor, method="extract", size=min(self.layout.extractors, len(clips))
        )
        decoders.start()
        extractors.start()
        # Enough decoded clips to keep every network busy, and no more: they take memory.
        most_decoded = max(2 * CLIPS_PER_FORWARD * extractors.size, decoders.size)
        while self._done + self._reasons.total() < len(clips):
            while todo and decoders.idle and len(self._decoded) + decoders.working < most_decoded:
                clip = todo.popleft()
                decoders.submit(clip, clip)
            while self._decoded and extractors.idle:
                batch = self._next_batch()
                extractors.submit(batch, *(media for _, media in batch))
            ready, _ = ray.wait(decoders.watched + extractors.watched, timeout=0.5)
            for decoded in decoders.collect(set(ready)):
                self._after_decoding(decoded, todo)
            for extracted in extractors.collect(set(ready)):
                self._after_extraction(extracted)
            seconds = time.monotonic() - started
            self.on_progress(Progress(self._done, self._reasons.total(), len(clips), seconds))
        return Summary(
            done=self._done,
            failed=self._reasons.total(),
            reasons=dict(self._reasons),
            seconds=time.monotonic() - started,
            frames=self._frames,
            sound_seconds=self._sound_seconds,
        )

    def _make_decoder(self) -> ActorHandle:
        options = DecodeActor.options(num_cpus=self.layout.decoder_cpus)
        return options.remote(self.decoder, self.sampling)

    def _make_extractor(self) -> ActorHandle:
        options = ExtractActor.options(
            num_cpus=self.layout.extractor_cpus, num_gpus=self.layout.extractor_gpus
        )
        return options.remote(self.networks, self.layout.threads)

    def _next_batch(self) -> list[Decoded]:
        """Clips for one network call; one that killed a network is tried again alone."""
        batch = [self._decoded.popleft()]
        while len(batch) < CLIPS_PER_FORWARD and self._decoded:
            if any(self._deaths[clip.id] for clip, _ in (batch[-1], self._decoded[0])):
                break
            batch.append(self._decoded.popleft())
        return batch

    def _after_decoding(self, outcome: Outcome[Clip], todo: deque[Clip]) -> None:
        clip = outcome.job
        if outcome.death:
            self._deaths[clip.id] += 1
            if self._deaths[clip.id] < ATTEMPTS:
                todo.append(clip)
            else:
                self._fail(clip, _killed(clip, outcome.death, self.clip_seconds))
            return
        fault, media = outcome.refs
        error: ClipError | None = ray.get(fault)
        if error:
            self._fail(clip, error)
        else:
            self._decoded.append((clip, media))

    def _after_extraction(self, outcome: Outcome[list[Decoded]]) -> None:
        if outcome.death:
            for clip, media in outcome.job:
                # A whole batch is under suspicion at first; only a clip alone can be convicted.
                self._deaths[clip.id] += 1
                if len(outcome.job) > 1 or self._deaths[clip.id] < ATTEMPTS:
                    self._decoded.append((clip, media))
                else:
                    self._fail(clip, _killed(clip, "out_of_memory", self.clip_seconds))
            return
        for (clip, _), features in zip(outcome.job, ray.get(outcome.refs[0]), strict=True):
            self.writer.add(clip, features)
            self._done += 1
            self._frames += len(features.visual)
            self._sound_seconds += len(features.audio) * EXAMPLE_SECONDS

    def _fail(self, clip: Clip, error: ClipError) -> None:
        self._reasons[error.reason] += 1
        self.writer.fail(clip, error, attempts=max(self._deaths[clip.id], 1))
        if self.fail_fast:
            raise SetupError(
                f"{clip.id}: {error}. Stopped at the first failure (--fail-fast); "
                "what is finished is kept"
            )


def _killed(clip: Clip, death: Death, clip_seconds: float) -> ClipError:
    reason, what = {
        "timeout": ("decode_timeout", f"not decoded after {clip_seconds:g} s"),
        "crash": ("decoder_crashed", "its decoder process died"),
        "out_of_memory": ("out_of_memory", "its process ran out of memory"),
    }[death]
    return ClipError(
        cast(Reason, reason),
        f"{clip.path}: {what}, {ATTEMPTS} times; re-encode it, or leave it out",
    )
