"""YouTube-8M's published features as a benchmark: clips of mutually exclusive classes.

Reads video-level shards (``mean_rgb`` 1024, ``mean_audio`` 128) and frame-level shards (``rgb`` and
``audio``, a row a second, 8-bit). Features are Inception-v3 of 2015 and VGGish, each after PCA and
whitening. https://research.google.com/youtube8m/download.html; CC BY 4.0.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from preprocessing.catalog.splits import stratified_split
from preprocessing.catalog.text import read_text
from preprocessing.clips import NO_FILE, Clip, Split
from preprocessing.errors import SetupError, UsageError
from preprocessing.interchange.tfrecord import read_examples
from preprocessing.networks.quantization import dequantize
from preprocessing.store import Block, Provenance, Record, Rows, write_store
from preprocessing.store.plan import source_of

_WIDTHS = {"rgb": 1024, "audio": 128}

_MOST_OVERLAP = 0.2
"""Classes that share this part of the smaller one's videos, or more, are not exclusive."""

_VIDEOS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a shard, without its features.

    ``id`` replaces the YouTube id; ``shapes`` and ``digests`` are of its visual and its audio rows.
    """

    id: str
    labels: frozenset[int]
    shard: Path
    shapes: tuple[tuple[int, int], tuple[int, int]]
    digests: tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Selection:
    """The videos of the benchmark, each with the number of its one class.

    ``classes`` come most frequent first; of the ``read`` videos ``shared`` were dropped because
    they share a feature vector with another.
    """

    videos: tuple[tuple[Video, int], ...]
    classes: tuple[int, ...]
    read: int
    shared: int


def read_vocabulary(path: Path) -> dict[int, str]:
    """Names of the labels, from YouTube-8M's ``vocabulary.csv`` (columns ``Index`` and ``Name``).

    Raises:
        AvcmrError: no such file, or not YouTube-8M's.
    """
    names: dict[int, str] = {}
    try:
        rows = csv.DictReader(StringIO(read_text(path, "vocabulary"), newline=""))
        if not {"Index", "Name"} <= set(rows.fieldnames or ()):
            raise SetupError(
                f"{path}: no columns Index and Name; give the vocabulary.csv of YouTube-8M"
            )
        for row in rows:
            index = (row["Index"] or "").strip()
            if not index.isdecimal():
                raise SetupError(
                    f"{path}: line {rows.line_num}: Index is {index!r}, not the number of a "
                    "label; give the vocabulary.csv of YouTube-8M"
                )
            names[int(index)] = row["Name"] or index
    except csv.Error as error:
        raise SetupError(f"{path}: not a CSV file ({error}); fetch it again") from None
    return names


def select(shards: Sequence[Path], classes: int, *, per_class: int | None = None) -> Selection:
    """Choose mutually exclusive classes, and the videos that have exactly one of them.

    Down the list of labels by frequency in these shards, a label is skipped if it shares 20 % or
    more of the smaller one's videos with a label chosen before. Videos that share their
    visual or their audio rows with another video of the selection are all dropped: re-uploads
    would put one video into two splits, and silence occurs in every class.

    At most ``per_class`` videos of each class are taken, in the order of the shards.

    Raises:
        AvcmrError: a shard is damaged, or there are too few classes or videos.
    """
    videos = [_video(example, shard) for shard in shards for example in read_examples(shard)]
    chosen = exclusive_labels([video.labels for video in videos], classes)
    if len(chosen) < classes:
        raise UsageError(
            f"{shards[0].parent}: {len(chosen)} mutually exclusive classes in {len(shards)} shards "
            f"({len(videos)} videos), not {classes}; give more shards or --classes {len(chosen)}"
        )
    wanted = set(chosen)
    single = [video for video in videos if len(video.labels & wanted) == 1]
    uses = [Counter(video.digests[stream] for video in single) for stream in (0, 1)]
    own = [v for v in single if uses[0][v.digests[0]] == 1 and uses[1][v.digests[1]] == 1]
    taken: Counter[int] = Counter()
    kept: list[tuple[Video, int]] = []
    for video in own:
        (label,) = video.labels & wanted
        taken[label] += 1
        if per_class is None or taken[label] <= per_class:
            kept.append((video, label))
    rare = [label for label in chosen if taken[label] < 3]
    if rare:
        raise UsageError(
            f"{shards[0].parent}: class {rare[0]} is left with {taken[rare[0]]} videos, and needs "
            "one in each split; give more shards or fewer --classes"
        )
    return Selection(tuple(kept), tuple(chosen), len(videos), len(single) - len(own))


def exclusive_labels(label_sets: Sequence[frozenset[int]], count: int) -> list[int]:
    """Up to ``count`` labels that hardly overlap, most frequent first; see :func:`select`."""
    members: dict[int, set[int]] = defaultdict(set)
    for video, labels in enumerate(label_sets):
        for label in labels:
            members[label].add(video)

    def exclude_each_other(one: int, other: int) -> bool:
        smaller = min(len(members[one]), len(members[other]))
        return len(members[one] & members[other]) < _MOST_OVERLAP * smaller

    chosen: list[int] = []
    for label in sorted(members, key=lambda label: (-len(members[label]), label)):
        if len(chosen) == count:
            break
        if all(exclude_each_other(label, other) for other in chosen):
            chosen.append(label)
    return chosen


def write_benchmark(
    selection: Selection,
    names: Mapping[int, str],
    out: Path,
    *,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> list[Split]:
    """Write a selection as a feature store; returns the split of each video.

    Labels without a name are called by number; ``val`` and ``test`` are shares of each class.

    Raises:
        SetupError: ``out`` exists, two videos share an id, or a shard has changed meanwhile.
    """
    videos = [video for video, _ in selection.videos]
    # Without the shard as path, so that only clips of one video stay together.
    clips = [
        Clip(id=video.id, path=NO_FILE, label=names.get(label, str(label)), source=video.id)
        for video, label in selection.videos
    ]
    splits = stratified_split(clips, val=val, test=test, seed=seed)
    sources = {shard: source_of(shard) for shard in {video.shard for video in videos}}
    records = [
        Record(
            clip=replace(clip, path=video.shard, split=split),
            source=sources[video.shard],
            duration=float(video.shapes[0][0]) if video.shapes[0][0] > 1 else 0.0,
            visual=video.shapes[0],
            audio=video.shapes[1],
        )
        for video, clip, split in zip(videos, clips, splits, strict=True)
    ]
    provenance = Provenance(
        config={
            "imported": "YouTube-8M",
            "visual": "inception_v3_2015 pool3, PCA 1024, whitened, 8 bit, dequantized",
            "audio": "vggish, PCA, 8 bit, dequantized",
        },
        weights={},
        decoder="none: imported features",
    )
    write_store(out, provenance, records, _blocks(videos))
    return splits


def _blocks(videos: Sequence[Video]) -> Iterator[tuple[int, Block]]:
    """Read the features of some videos, which are in the order of their shards."""
    waiting: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    left = iter(videos)
    video = next(left, None)
    done = 0
    for shard in dict.fromkeys(video.shard for video in videos):
        for example in read_examples(shard):
            if video and video.shard == shard and _id(example, shard) == video.id:
                waiting.append(_features(example, shard))
                video = next(left, None)
            if len(waiting) == _VIDEOS_AT_ONCE or (waiting and video is None):
                yield done, _block(waiting)
                done += len(waiting)
                waiting = []
    if video is not None:
        raise SetupError(f"{video.shard}: has changed while it was read; run the command again")


def _block(clips: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Block:
    streams = [
        Rows.join(rows, [np.arange(len(part), dtype=np.float64) + 0.5 for part in rows])
        for rows in ([visual for visual, _ in clips], [audio for _, audio in clips])
    ]
    return Block(*streams)


def _video(example: Any, shard: Path) -> Video:
    visual, audio = _features(example, shard)
    return Video(
        id=_id(example, shard),
        labels=frozenset(example.context.feature["labels"].int64_list.value),
        shard=shard,
        shapes=(visual.shape, audio.shape),
        digests=(_digest(visual), _digest(audio)),
    )


def _digest(rows: NDArray[np.float32]) -> bytes:
    return blake2b(rows.tobytes(), digest_size=16).digest()


def _id(example: Any, shard: Path) -> str:
    for name in ("id", "video_id"):  # the releases of 2018 and 2017
        for value in example.context.feature[name].bytes_list.value:
            return str(value.decode("utf-8", "replace"))
    raise SetupError(f"{shard}: a record without an id; give files of the YouTube-8M download")


def _features(example: Any, shard: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Visual (T, 1024) and audio (S, 128); one row each in a video-level shard."""
    return _stream(example, shard, "rgb"), _stream(example, shard, "audio")


def _stream(example: Any, shard: Path, name: str) -> NDArray[np.float32]:
    width = _WIDTHS[name]
    if name in example.feature_lists.feature_list:
        frames = example.feature_lists.feature_list[name].feature
        codes = np.frombuffer(b"".join(f.bytes_list.value[0] for f in frames), np.uint8)
        if codes.size and codes.size % width == 0:
            rows: NDArray[np.float32] = dequantize(
                torch.from_numpy(codes.reshape(-1, width).copy())
            ).numpy()
            return rows
    else:
        mean = np.array(example.context.feature[f"mean_{name}"].float_list.value, np.float32)
        if mean.size == width:
            return mean[None]
    raise SetupError(
        f"{shard}: video {_id(example, shard)} has no {name} of {width} dimensions, nor "
        f"mean_{name}; give video-level or frame-level files of YouTube-8M's download of 2018"
    )
