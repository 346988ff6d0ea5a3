"""Which clips a run has to extract, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from preprocessing.clips import Clip
from preprocessing.errors import SetupError
from preprocessing.media.types import Source
from preprocessing.remote import AT_ONCE, MediaPath, size_and_mtime
from preprocessing.store.ledger import Entry, Ledger
from preprocessing.store.records import Failure, Record

Cause = Literal["new", "changed", "recut", "stale", "retried"]

_WORDS: dict[Cause, str] = {
    "new": "new",
    "changed": "changed on disk",
    "recut": "with another start or end",
    "stale": "made with another config, weights or decoder",
    "retried": "failed before",
}

ABSENT = Source(size=0, mtime=0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run has to do.

    Attributes:
        todo: clips to do, in the manifest's order.
        done: number of clips whose features are stored and current.
        gone: how many of those have lost their file since; their features are kept.
        failed_before: clips left out because they failed and nothing has changed.
        causes: why clips are to do → how many.
    """

    todo: tuple[Clip, ...]
    done: int
    gone: int
    failed_before: tuple[Failure, ...]
    causes: Mapping[Cause, int]

    def summary(self) -> str:
        """One line: ``312 clips: 280 done, 30 to do (12 new, 18 changed on disk), …``."""
        total = len(self.todo) + self.done + len(self.failed_before)
        why = [f"{self.causes[cause]:,} {_WORDS[cause]}" for cause in _WORDS if self.causes[cause]]
        gone = f" ({self.gone:,} without their file now)" if self.gone else ""
        todo = f"{len(self.todo):,} to do" + (f" ({', '.join(why)})" if why else "")
        line = f"{total:,} clip{'s' if total != 1 else ''}: {self.done:,} done{gone}, {todo}"
        if self.failed_before:
            line += f", {len(self.failed_before):,} failed before"
        return line


def make_plan(
    clips: Sequence[Clip], sources: Mapping[str, Source], ledger: Ledger, *, retry_failed: bool
) -> Plan:
    """Compare a manifest with what is stored.

    ``sources`` is what :func:`look_up` found. With ``retry_failed`` clips that failed before are
    done again, though nothing has changed.
    """
    todo: list[Clip] = []
    failed: list[Failure] = []
    causes: Counter[Cause] = Counter()
    gone = 0
    for clip in clips:
        entry = ledger.entries.get(clip.id)
        if entry is None:
            cause: Cause | None = "stale" if clip.id in ledger.stale else "new"
        else:
            cause = _cause(clip, sources[clip.id], entry, retry_failed=retry_failed)
        if cause is not None:
            todo.append(clip)
            causes[cause] += 1
        elif entry is not None and isinstance(entry.item, Failure):
            failed.append(entry.item)
        else:
            gone += sources[clip.id] == ABSENT
    done = len(clips) - len(todo) - len(failed)
    return Plan(tuple(todo), done, gone, tuple(failed), causes)


def _cause(clip: Clip, now: Source, entry: Entry, *, retry_failed: bool) -> Cause | None:
    """Why a known clip has to be done again; None if it need not be."""
    then = entry.item.source
    # A file that has gone is no reason: there is nothing to make better features from.
    if now != ABSENT and (now.size, now.mtime) != (then.size, then.mtime):
        return "changed"
    if (clip.start, clip.end) != (entry.item.clip.start, entry.item.clip.end):
        return "recut"
    if retry_failed and isinstance(entry.item, Failure):
        return "retried"
    return None


def refuse_losses(
    clips: Sequence[Clip], sources: Mapping[str, Source], ledger: Ledger, store: MediaPath
) -> None:
    """Refuse to drop features of another provenance that this run would not extract again.

    Raises:
        SetupError: there are such.
    """
    redone = {clip.id for clip in clips if sources[clip.id] != ABSENT}
    held = {id_ for id_, entry in ledger.entries.items() if isinstance(entry.item, Record)}
    lost = [id_ for id_, stored in ledger.stale.items() if stored and id_ not in redone | held]
    if lost:
        raise SetupError(
            f"{store}: holds features of {len(lost):,} clips, such as {lost[0]!r}, that were "
            f"{_WORDS['stale']} and would be lost: they are not listed now, or their files are "
            "gone; choose another --out, or move it away"
        )


def look_up(clips: Sequence[Clip]) -> dict[str, Source]:
    """Size and mtime of each clip's file, by id; both 0 where there is none.

    Raises:
        SetupError: two clips share an id, or there are remote files and none can be reached.
    """
    paths = dict.fromkeys(clip.path for clip in clips)
    remote = [path for path in paths if not isinstance(path, Path)]
    with ThreadPoolExecutor(AT_ONCE) as threads:  # they mostly wait
        source_at: dict[MediaPath, Source] = dict(
            zip(remote, threads.map(source_of, remote), strict=True)
        )
    if remote and all(source == ABSENT for source in source_at.values()):
        _require_reachable(remote)
    sources: dict[str, Source] = {}
    for clip in clips:
        if clip.id in sources:
            raise SetupError(f"two clips of the manifest have the id {clip.id!r}; rename one")
        sources[clip.id] = source_at.get(clip.path) or source_of(clip.path)
    return sources


def _require_reachable(paths: Sequence[MediaPath]) -> None:
    """Called where no size or time is known: no credentials, or a server that gives neither."""
    try:
        size_and_mtime(paths[0])
    except OSError as error:
        raise SetupError(
            f"none of the {len(paths):,} remote files can be reached ({error}); see that "
            f"{paths[0]} can be fetched from here, with your credentials where it needs them"
        ) from None


def source_of(path: MediaPath) -> Source:
    """Size and mtime of a file; both 0 where there is none."""
    try:
        return Source(*size_and_mtime(path))
    except OSError:
        return ABSENT
