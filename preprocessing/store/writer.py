"""The one process that writes a store."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.store.blocks import Block
from preprocessing.store.create import write_file
from preprocessing.store.disk import disk_errors, replacing
from preprocessing.store.ledger import read_ledger
from preprocessing.store.merge import merge
from preprocessing.store.parts import Parts
from preprocessing.store.plan import ABSENT, Plan, look_up, make_plan, refuse_losses, source_of
from preprocessing.store.records import Failure, Provenance, Record
from preprocessing.store.storefile import StoreFile, in_the_way

_log = logging.getLogger(__name__)


class FeatureWriter:
    """Write features as clips get done, so that a run killed at any moment can be resumed.

    ::

        with FeatureWriter(path, provenance) as writer:
            plan = writer.plan(clips)
            for clip in plan.todo:
                writer.add(clip, features_of(clip))
            writer.finish(clips)

    Clips are held in memory and saved in parts; a kill loses at most the clips not yet saved.
    Leaving the block saves them, also by an exception. Without :meth:`finish` the parts stay,
    and the next writer counts their clips as done.

    Args:
        path: the store, such as ``features.h5``; ``features.h5.parts/`` beside it is the writer's.
        provenance: how the features are made; features of another provenance are stale.
        max_clips: save when so many clips wait,
        max_bytes: or features of so many bytes,
        max_seconds: or when the last save is so long ago (looked at whenever a clip comes in, and
            by :meth:`flush_if_due`).

    Raises:
        SetupError: on entry, if another writer is at work or the path holds something else;
            whenever the disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        *,
        max_clips: int = 256,
        max_bytes: int = 64 << 20,
        max_seconds: float = 10.0,
    ) -> None:
        self.path = path
        self.provenance = provenance
        self._parts = Parts(path)
        self._limits = (max_clips, max_bytes, max_seconds)
        self._waiting: dict[str, tuple[Record, ClipFeatures] | Failure] = {}
        self._waiting_bytes = 0
        self._widths: tuple[int, int] | None = None
        self._saved_at = time.monotonic()
        self._sources: dict[str, Source] = {}

    def __enter__(self) -> Self:
        if self._parts.store.exists():
            with in_the_way():  # refuses what is not ours before anything is made
                StoreFile(self._parts.store).close()
        self._parts.acquire()
        self._saved_at = time.monotonic()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is None:
                self.flush()
            else:
                self._rescue()
        finally:
            self._parts.release()

    def plan(self, clips: Sequence[Clip], *, retry_failed: bool = False) -> Plan:
        """Compare the manifest with what is stored; checks every clip's file.

        With ``retry_failed`` clips that failed before are done again, though nothing has changed.

        Raises:
            SetupError: two clips share an id, or there are features of another provenance that
                cannot be extracted again and would be lost.
        """
        self.flush()
        self._sources = look_up(clips)
        ledger = read_ledger(self._parts, self.provenance)
        refuse_losses(clips, self._sources, ledger, self._parts.store)
        return make_plan(clips, self._sources, ledger, retry_failed=retry_failed)

    def failures(self, clips: Sequence[Clip]) -> list[Failure]:
        """Those of the manifest's clips that could not be used, in its order."""
        self.flush()
        entries = read_ledger(self._parts, self.provenance).entries
        items = [entries[clip.id].item for clip in clips if clip.id in entries]
        return [item for item in items if isinstance(item, Failure)]

    def add(self, clip: Clip, features: ClipFeatures) -> None:
        """Store a clip's features; they supersede what was stored of it.

        Raises:
            ClipError: ``network_failed`` where a feature is NaN or infinite.
            ValueError: its rows differ in width from those of the clips before.
        """
        _require_finite(clip, features)
        widths = features.visual.shape[1], features.audio.shape[1]
        self._widths = self._widths or widths
        if widths != self._widths:
            raise ValueError(f"{clip.id}: rows of width {widths}, not {self._widths} as before")
        shapes = features.visual.shape, features.audio.shape
        record = Record(clip, features.source, features.duration, *shapes, features.damage)
        self._wait(clip.id, (record, features), record.nbytes)

    def fail(self, clip: Clip, error: ClipError, *, attempts: int) -> None:
        """Store that a clip cannot be used, after so many attempts."""
        # As the plan saw the file: one that was still being copied then is tried again. So is one
        # that could not be fetched, even if it comes back unchanged.
        seen = self._sources.get(clip.id) or source_of(clip.path)
        source = ABSENT if error.reason in ("missing", "unreachable") else seen
        message = error.message.replace("\0", "\N{REPLACEMENT CHARACTER}")  # HDF5 takes no NUL
        self._wait(clip.id, Failure(clip, source, error.reason, message, attempts), 0)

    def flush(self) -> None:
        """Save the waiting clips as a part."""
        self._saved_at = time.monotonic()
        if not self._waiting:
            return
        stored = [item for item in self._waiting.values() if not isinstance(item, Failure)]
        failures = [item for item in self._waiting.values() if isinstance(item, Failure)]
        blocks = [(0, Block.join([features for _, features in stored]))] if stored else []
        part = self._parts.next_path()
        with replacing(part, self._parts.aside(part)) as file:
            records = [record for record, _ in stored]
            write_file(file, self.provenance, records, failures, blocks)
        self._waiting.clear()
        self._waiting_bytes = 0

    def flush_if_due(self) -> None:
        """Save the waiting clips if they are many, or have waited long; to be called often."""
        max_clips, max_bytes, max_seconds = self._limits
        if (
            len(self._waiting) >= max_clips
            or self._waiting_bytes >= max_bytes
            or time.monotonic() - self._saved_at >= max_seconds
        ):
            self.flush()

    def finish(self, clips: Sequence[Clip]) -> None:
        """Merge the parts into the store, and remove them. If nothing is new, nothing is written.

        Clips of the manifest come first, in its order and with its labels, splits and paths.
        Clips stored earlier that it does not list are kept if their provenance is the current
        one; :meth:`plan` refuses manifests for which others would have to be dropped.
        """
        self.flush()
        ledger = read_ledger(self._parts, self.provenance)
        if not ledger.files:
            return  # nothing of this provenance: leave what another has made
        parts = self._parts
        merge(ledger, clips, self.provenance, parts.store, parts.aside(parts.store))
        with disk_errors(parts.folder):
            parts.clear()

    def _wait(self, id_: str, item: tuple[Record, ClipFeatures] | Failure, nbytes: int) -> None:
        self._waiting[id_] = item
        self._waiting_bytes += nbytes
        self.flush_if_due()

    def _rescue(self) -> None:
        """Save what can be saved, without hiding the error that ends the run."""
        try:
            self.flush()
        except Exception as error:
            _log.warning("%d finished clips could not be saved: %s", len(self._waiting), error)


def _require_finite(clip: Clip, features: ClipFeatures) -> None:
    for stream, rows in (("visual", features.visual), ("audio", features.audio)):
        bad = int((~np.isfinite(rows).all(axis=1)).sum())
        if bad:
            raise ClipError(
                "network_failed",
                f"{clip.path}: the networks failed ({bad} of {len(rows)} {stream} rows with NaN "
                "or infinity); try --precision float32, re-encode it, or leave it out",
            )
