"""Extraction on Ray: decoders and networks as actors, one driver that never touches a frame."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import ray
import torch
from ray.actor import ActorHandle

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import Sampling
from preprocessing.media.types import ClipFeatures
from preprocessing.networks.extract_clip import CLIPS_PER_FORWARD, Extractor
from preprocessing.store import FeatureWriter
from raytasks.cluster import on_cluster, require_ray
from raytasks.extraction.actors import DecodeActor, ExtractActor
from raytasks.extraction.decoding import Decoding
from raytasks.extraction.layout import Layout
from raytasks.extraction.pool import Outcome, SupervisedPool
from raytasks.extraction.summary import Summary, Tally
from raytasks.extraction.verdict import ATTEMPTS, verdict
from raytasks.monitoring.metrics import Publisher
from raytasks.monitoring.progress import Progress
from raytasks.monitoring.status import Activity, announced

NETWORK_PATIENCE = 10
"""Times as long as decoding a clip may take until networks that give no answer have hung."""


@dataclass(frozen=True, slots=True)
class Item:
    """A clip for an extractor.

    Attributes:
        clip: the clip.
        media: a reference to its media, which the driver passes on but never fetches; None where
            the extractor decodes the clip itself.
    """

    clip: Clip
    media: ray.ObjectRef | None = None


@dataclass(slots=True)
class Extraction:
    """One run over the clips that are to do. Build it and call :meth:`run`.

    Clips wait in one queue, from which extractors take what they decode themselves, and decoders
    what they decode for them. On a machine with GPUs both can work side by side: each takes its
    next clips when it is free, and so gets the share that its speed allows.

    Attributes:
        writer: where finished and failed clips go, one by one.
        sampling: how clips are sampled.
        load: loads the networks onto a device.
        layout: how many actors.
        decoding: who decodes, and with what.
        clip_seconds: how long one clip may take to decode.
        fail_fast: stop at the first clip that fails, instead of going on without it.
        on_progress: called at least twice a second.
    """

    writer: FeatureWriter
    sampling: Sampling
    load: Callable[[torch.device], Extractor]
    layout: Layout
    decoding: Decoding = field(default_factory=Decoding)
    clip_seconds: float = 300.0
    fail_fast: bool = False
    on_progress: Callable[[Progress], None] = lambda progress: None

    _todo: deque[Clip] = field(default_factory=deque)
    _retries: deque[Clip] = field(default_factory=deque)
    _decoded: deque[Item] = field(default_factory=deque)
    _deaths: Counter[str] = field(default_factory=Counter)  # by suspected clips
    _tally: Tally = field(default_factory=Tally)

    def run(self, clips: Sequence[Clip]) -> Summary:
        """Extract the clips; each is stored or recorded as failed when this returns.

        Raises:
            SetupError: the cluster has no room for the actors, the store cannot be written, or
                a clip has failed and ``fail_fast`` is set.
        """
        activity = Activity("extraction", self.writer.path.name, {})
        with announced(activity, on_cluster=on_cluster()) as announce:
            return self._run(clips, Publisher(announce))

    def _run(self, clips: Sequence[Clip], publisher: Publisher) -> Summary:
        started = time.monotonic()
        starting = 0.0
        self._todo.extend(clips)
        decoders, extractors = self._pools(len(clips))
        extractors.start()
        if self.decoding.beside:
            decoders.start()
        while self._tally.ended < len(clips):
            self._feed(decoders, extractors)
            if not starting and extractors.started:
                starting = time.monotonic() - started
            ready, _ = ray.wait(decoders.watched + extractors.watched, timeout=0.5)
            require_ray()
            for decoded in decoders.collect(set(ready)):
                self._after_decoding(decoded)
            for extracted in extractors.collect(set(ready)):
                self._after_extraction(extracted)
            self.writer.flush_if_due()  # also while one long clip keeps all others waiting
            progress = Progress(
                done=self._tally.done,
                reasons=dict(self._tally.reasons),
                total=len(clips),
                frames=self._tally.frames,
                queues={
                    "decode": len(self._todo),
                    "network": len(self._decoded),
                    "retry": len(self._retries),
                },
                processes=decoders.doing | extractors.doing,
                seconds=time.monotonic() - started,
            )
            publisher.publish(progress)
            self.on_progress(progress)
        return self._tally.summary(seconds=time.monotonic() - started, starting=starting)

    def _pools(self, clips: int) -> tuple[SupervisedPool[Clip], SupervisedPool[list[Item]]]:
        """Decoders and extractors, no more of either than there are clips."""
        return (
            SupervisedPool(
                self._make_decoder,
                method="decode",
                size=min(self.layout.decoders, clips),
                kind="decoder",
            ),
            SupervisedPool(
                self._make_extractor,
                method="extract",
                size=min(self.layout.extractors, clips),
                kind="extractor",
                report="at_work",
                part_seconds=self.clip_seconds,
            ),
        )

    def _make_decoder(self, name: str) -> ActorHandle:
        options = DecodeActor.options(num_cpus=self.layout.decoder_cpus, name=name)
        return options.remote(self.decoding.decoder, self.sampling)

    def _make_extractor(self, name: str) -> ActorHandle:
        options = ExtractActor.options(
            num_cpus=self.layout.extractor_cpus,
            num_gpus=self.layout.extractor_gpus,
            max_concurrency=2,  # an extraction, and reports of it
            name=name,
        )
        return options.remote(self.load, self.layout, self.decoding.own_decoder, self.sampling)

    def _feed(self, decoders: SupervisedPool[Clip], extractors: SupervisedPool[list[Item]]) -> None:
        """Give work to whoever is free."""
        # Enough decoded clips to keep every network busy, and no more: they take memory.
        most_decoded = max(2 * CLIPS_PER_FORWARD * extractors.size, decoders.size)
        if self._retries and not decoders.actors:
            decoders.start()
        waiting = self._retries or (self._todo if self.decoding.beside else deque[Clip]())
        while decoders.idle and waiting and len(self._decoded) + decoders.working < most_decoded:
            clip = waiting.popleft()
            decoders.submit(clip, clip, seconds=self.clip_seconds, name=clip.id)
        while extractors.idle and (batch := self._next_batch()):
            items = [item.media or item.clip for item in batch]
            forward = min(len(batch), CLIPS_PER_FORWARD)
            seconds = forward * self.clip_seconds * NETWORK_PATIENCE
            extractors.submit(batch, *items, seconds=seconds, name=_named(batch))

    def _next_batch(self) -> list[Item]:
        """Clips for one extractor: decoded ones, or if there are few, some it decodes itself."""
        if self.decoding.own_decoder and self._todo and len(self._decoded) < CLIPS_PER_FORWARD:
            fair = math.ceil(len(self._todo) / self.layout.extractors)  # the last ones are shared
            count = min(self.layout.clips_per_call, fair)
            return [Item(self._todo.popleft()) for _ in range(count)]
        batch: list[Item] = []
        while self._decoded and len(batch) < CLIPS_PER_FORWARD:
            suspect = self._decoded[0].clip.id in self._deaths
            if suspect and batch:
                break  # one that may have killed a network is tried again alone
            batch.append(self._decoded.popleft())
            if suspect:
                break
        return batch

    def _after_decoding(self, outcome: Outcome[Clip]) -> None:
        clip = outcome.job
        if outcome.death == "lost":
            self._start_over(clip)
            return
        if outcome.death:
            self._deaths[clip.id] += 1
            if self._deaths[clip.id] < ATTEMPTS:
                self._retries.append(clip)
            else:
                self._fail(clip, verdict(clip, outcome, self.clip_seconds))
            return
        error: ClipError | None = outcome.value
        if error:
            self._fail(clip, error)
        else:
            self._decoded.append(Item(clip, outcome.refs[0]))

    def _after_extraction(self, outcome: Outcome[list[Item]]) -> None:
        if outcome.death == "lost":
            for item in outcome.job:
                self._start_over(item.clip)
            return
        if outcome.death:
            for item in outcome.job:
                self._after_death(item, outcome)
            return
        results: list[ClipFeatures | ClipError] = outcome.value
        for item, result in zip(outcome.job, results, strict=True):
            if not isinstance(result, ClipError):
                self._store(item.clip, result)
            elif self.decoding.own_decoder == self.decoding.decoder:
                self._fail(item.clip, result)
            else:
                self._retries.append(item.clip)  # what a GPU cannot decode, a core perhaps can

    def _after_death(self, item: Item, outcome: Outcome[list[Item]]) -> None:
        """An extractor has died with this clip, and perhaps with others.

        A clip that took too long is known, and the others of its batch start over. Of any other
        death the whole batch is under suspicion at first; only a clip alone can be convicted.
        """
        if outcome.overdue and item.clip.id not in outcome.overdue:
            self._start_over(item.clip)
            return
        alone = len(outcome.job) == 1 and item.media is not None
        self._deaths[item.clip.id] += 1 if alone or outcome.overdue else 0
        if item.media is None:
            self._retries.append(item.clip)
        elif self._deaths[item.clip.id] < ATTEMPTS:
            self._decoded.append(item)
        elif outcome.death == "error" and not self._tally.done:  # hardly the clips' fault
            raise SetupError(
                f"the networks fail with every clip so far ({outcome.said}); check this "
                "machine with: avcmr doctor"
            )
        else:
            self._fail(item.clip, verdict(item.clip, outcome, self.clip_seconds))

    def _start_over(self, clip: Clip) -> None:
        """A clip that was lost with its node or through a batch mate starts over, without blame."""
        (self._retries if clip.id in self._deaths else self._todo).append(clip)

    def _store(self, clip: Clip, features: ClipFeatures) -> None:
        try:
            self.writer.add(clip, features)
        except ClipError as error:
            self._fail(clip, error)
            return
        self._tally.store(features)

    def _fail(self, clip: Clip, error: ClipError) -> None:
        self._tally.fail(error)
        self.writer.fail(clip, error, attempts=max(self._deaths[clip.id], 1))
        if self.fail_fast:
            raise SetupError(
                f"{clip.id}: {error}. Stopped at the first failure (--fail-fast); "
                "what is finished is kept"
            )


def _named(batch: Sequence[Item]) -> str:
    """What the dashboard shows of a batch."""
    more = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
    return batch[0].clip.id + more
