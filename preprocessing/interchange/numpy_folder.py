"""Folders of NumPy arrays, named as the project video_features (Iashin) names its output.

``NAME_vggish.npy`` (S, 128) has a row for each 0.96 s of audio; ``NAME_KEY.npy`` (T, D) the visual
rows of some network, such as ``NAME_resnet.npy``; ``NAME_timestamps_ms.npy`` (T,), where there is
one, the milliseconds of the visual rows.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.catalog.folders import is_hidden
from preprocessing.clips import Clip
from preprocessing.errors import SetupError, UsageError, faults_in
from preprocessing.interchange.features import PublishedFeatures
from preprocessing.networks.log_mel import EXAMPLE_SECONDS, example_times
from preprocessing.store import Block, Rows

_logger = logging.getLogger(__name__)

_AUDIO_KEY = "vggish"
_TIMES_KEY = "timestamps_ms"
_NOT_VISUAL = {_AUDIO_KEY, _TIMES_KEY, "fps"}

_Arrays = Mapping[str, Path]
"""The files of one clip, by KEY."""


def has_arrays(folder: Path) -> bool:
    """Whether there is any ``NAME_vggish.npy`` in a folder or below."""
    return bool(_below(folder, f"*_{_AUDIO_KEY}.npy"))


def read_folder(
    folder: Path, manifest: Sequence[Clip] | None, visual_key: str | None
) -> PublishedFeatures:
    """Read a folder; see :func:`preprocessing.interchange.read_published`.

    Visual rows without time stamps are spread evenly over the audio. Clips with an array without
    rows are left out, and named in a warning.

    Raises:
        AvcmrError: arrays are missing, have no label, or are not finite rows of one width (a few
            are named).
    """
    named = _by_folder(folder) if manifest is None else _by_manifest(folder, manifest)
    found: list[_ClipRows] = []
    empty, faults = [], []
    for clip, arrays in named:
        try:
            rows = _read_clip(clip, arrays, visual_key)
        except ValueError as error:
            faults.append(f"{clip.id}: {error}")
            continue
        if len(rows.visual) and len(rows.audio):
            found.append(rows)
        else:
            empty.append(clip.id)
    faults += _of_other_widths(found)
    if faults:
        raise faults_in(folder, faults, "write them again, or remove these clips' arrays")
    if not found:
        raise SetupError(f"{folder}: none of its {len(empty)} clips has a row; write them again")
    if empty:
        _logger.warning(
            "%s: %d clips have an array without rows and are left out: %s%s",
            folder,
            len(empty),
            ", ".join(empty[:5]),
            " …" if len(empty) > 5 else "",
        )
    block = Block(
        Rows.join([one.visual for one in found], [one.visual_times for one in found]),
        Rows.join([one.audio for one in found], [example_times(len(one.audio)) for one in found]),
    )
    return PublishedFeatures(folder, "numpy", tuple(one.clip for one in found), (), block)


@dataclass(frozen=True, slots=True)
class _ClipRows:
    """One clip's arrays.

    Attributes:
        clip: its path is that of the visual array.
        visual: (T, D) float32; T may be 0.
        audio: (S, 128) float32; S may be 0.
        visual_times: (T,) float64, seconds.
    """

    clip: Clip
    visual: NDArray[np.float32]
    audio: NDArray[np.float32]
    visual_times: NDArray[np.float64]


def _read_clip(clip: Clip, arrays: _Arrays, visual_key: str | None) -> _ClipRows:
    path = _visual(clip, arrays, visual_key)
    audio, visual = _rows(arrays[_AUDIO_KEY]), _rows(path)
    seconds = EXAMPLE_SECONDS * len(audio)
    return _ClipRows(
        # Rows of the whole file, whatever part of it the manifest names.
        clip=replace(clip, path=path, start=None, end=None),
        visual=visual,
        audio=audio,
        visual_times=_times(arrays, len(visual), seconds=seconds),
    )


def _of_other_widths(found: Sequence[_ClipRows]) -> Iterator[str]:
    """The clips whose rows are not as wide as most."""
    for name in ("visual", "audio"):
        widths = [getattr(one, name).shape[1] for one in found]
        usual = Counter(widths).most_common(1)[0][0] if widths else 0
        for one, width in zip(found, widths, strict=True):
            if width != usual:
                yield f"{one.clip.id}: {name} rows of {width} numbers, where others have {usual}"


def _below(root: Path, pattern: str) -> list[Path]:
    """The files that fit, sorted, without hidden ones."""
    return sorted(path for path in root.rglob(pattern) if not is_hidden(path, root))


def _by_folder(root: Path) -> Iterator[tuple[Clip, _Arrays]]:
    """Arrays beside each other are of one clip; the folder below ``root`` is the label."""
    for folder in sorted({path.parent for path in _below(root, f"*_{_AUDIO_KEY}.npy")}):
        if folder == root:
            raise SetupError(
                f"{root}: arrays outside any class folder; move them to {root}/CLASS/, or give "
                "the labels in a CSV file with --manifest (columns path,label[,id,split])"
            )
        relative = folder.relative_to(root)
        paths = [path for path in _below(folder, "*.npy") if path.parent == folder]
        for name, arrays in sorted(_grouped(paths).items()):
            id_ = (relative / name).as_posix()
            yield Clip(id=id_, path=folder / name, label=relative.parts[0]), arrays


def _by_manifest(root: Path, manifest: Sequence[Clip]) -> list[tuple[Clip, _Arrays]]:
    groups = _grouped(_below(root, "*.npy"))
    counts = Counter(clip.path.stem for clip in manifest)
    faults = [
        f"no {clip.path.stem}_{_AUDIO_KEY}.npy for {clip.path}"
        for clip in manifest
        if clip.path.stem not in groups
    ]
    if faults:
        raise faults_in(root, faults, "make them, or take the rows out of the manifest")
    faults = [f"{count} files called {name}" for name, count in counts.items() if count > 1]
    if faults:
        raise faults_in(
            root,
            faults,
            "the arrays of these files of the manifest would have one name; import them from "
            "several folders",
        )
    return [(clip, groups[clip.path.stem]) for clip in manifest]


def _grouped(paths: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """NAME → KEY → file, for each NAME with audio; the longest NAME that fits has the file."""
    groups: dict[str, dict[str, Path]] = {
        path.stem.removesuffix(f"_{_AUDIO_KEY}"): {}
        for path in paths
        if path.stem.endswith(f"_{_AUDIO_KEY}")
    }
    for path in paths:
        name = path.stem
        while "_" in name:
            name = name.rpartition("_")[0]
            if name in groups:
                other = groups[name].setdefault(path.stem.removeprefix(f"{name}_"), path)
                if other != path:
                    raise SetupError(f"{path}: {other} has the same name; keep one of the two")
                break
    return groups


def _visual(clip: Clip, arrays: _Arrays, key: str | None) -> Path:
    keys = sorted(set(arrays) - _NOT_VISUAL)
    if not keys:
        raise ValueError(f"there is no visual array beside {arrays[_AUDIO_KEY].name}")
    if key is not None and key not in keys:
        raise ValueError(f"no {clip.path.stem}_{key}.npy; there are {', '.join(keys)}")
    if key is None and len(keys) > 1:
        raise UsageError(
            f"{arrays[_AUDIO_KEY]}: it is ambiguous which visual array is meant; there are "
            f"{', '.join(keys)} (choose with --visual-key KEY)"
        )
    return arrays[key or keys[0]]


def _numbers(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path.name}: not a NumPy array of numbers ({reason})") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        what = getattr(values, "dtype", "an archive")
        raise ValueError(f"{path.name}: not a NumPy array of numbers ({what})")
    return values


def _rows(path: Path) -> NDArray[np.float32]:
    """(R, D): R may be 0; a single row may lack the first axis."""
    values = _numbers(path)
    if values.size == 0:
        return np.empty((0, 0), np.float32)
    if values.ndim not in (1, 2):
        raise ValueError(f"{path.name}: {values.shape} numbers, not (rows, D)")
    with np.errstate(over="ignore"):
        rows: NDArray[np.float32] = np.atleast_2d(values).astype(np.float32)
    invalid = int((~np.isfinite(rows)).any(axis=1).sum())
    if invalid:
        raise ValueError(f"{path.name}: {invalid} of {len(rows)} rows are not finite")
    return rows


def _times(arrays: _Arrays, count: int, *, seconds: float) -> NDArray[np.float64]:
    """Seconds of each visual row, (count,)."""
    if _TIMES_KEY not in arrays or not count:
        return (np.arange(count, dtype=np.float64) + 0.5) * (seconds / max(count, 1))
    stamps = np.atleast_1d(_numbers(arrays[_TIMES_KEY]))
    if stamps.shape != (count,) or not np.isfinite(stamps).all():
        found = f"{stamps.shape}" if stamps.shape != (count,) else "NaN or infinite"
        raise ValueError(
            f"{arrays[_TIMES_KEY].name}: {found} times for {count} visual rows; without it, rows "
            "are spread evenly"
        )
    return np.asarray(stamps, np.float64) / 1000
