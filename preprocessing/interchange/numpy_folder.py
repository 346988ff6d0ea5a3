"""Folders of NumPy arrays, named as the project video_features (Iashin) names its output.

``NAME_vggish.npy`` (S, 128) has a row for each 0.96 s of audio; ``NAME_KEY.npy`` (T, D) the visual
rows of some network, such as ``NAME_resnet.npy``; ``NAME_timestamps_ms.npy`` (T,), where there is
one, the milliseconds of the visual rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import SetupError, UsageError
from preprocessing.interchange.features import PublishedFeatures
from preprocessing.networks.log_mel import EXAMPLE_SECONDS, example_times
from preprocessing.store import Block, Rows

_AUDIO_KEY = "vggish"
_TIMES_KEY = "timestamps_ms"
_NOT_VISUAL = {_AUDIO_KEY, _TIMES_KEY, "fps"}

_Arrays = Mapping[str, Path]
"""The files of one clip, by KEY."""


def has_arrays(folder: Path) -> bool:
    """Whether there is any ``NAME_vggish.npy`` in a folder or below."""
    return next(folder.rglob(f"*_{_AUDIO_KEY}.npy"), None) is not None


def read_folder(
    folder: Path, manifest: Sequence[Clip] | None, visual_key: str | None
) -> PublishedFeatures:
    """Read a folder; see :func:`preprocessing.interchange.read_published`.

    Visual rows without time stamps are spread evenly over the audio.

    Raises:
        SetupError: arrays are missing, are not of two dimensions, or have no label.
    """
    named = _by_folder(folder) if manifest is None else _by_manifest(folder, manifest)
    clips, visual, audio = [], [], []
    for clip, arrays in named:
        path = _visual(clip, arrays, visual_key)
        audio_rows, visual_rows = _rows(arrays[_AUDIO_KEY]), _rows(path)
        # Rows of the whole file, whatever part of it the manifest names.
        clips.append(replace(clip, path=path, start=None, end=None))
        audio.append((audio_rows, example_times(len(audio_rows))))
        seconds = EXAMPLE_SECONDS * len(audio_rows)
        visual.append((visual_rows, _times(arrays, len(visual_rows), seconds=seconds)))
    for name, streams in (("visual", visual), ("audio", audio)):
        widths = {values.shape[1] for values, _ in streams}
        if len(widths) > 1:
            raise SetupError(
                f"{folder}: {name} rows of different widths, {sorted(widths)}; "
                "keep the output of one network in a folder"
            )
    block = Block(
        Rows.join([values for values, _ in visual], [times for _, times in visual]),
        Rows.join([values for values, _ in audio], [times for _, times in audio]),
    )
    return PublishedFeatures(folder, "numpy", tuple(clips), (), block)


def _by_folder(root: Path) -> Iterator[tuple[Clip, _Arrays]]:
    """_Arrays beside each other are of one clip; the folder below ``root`` is the label."""
    for folder in sorted({path.parent for path in root.rglob(f"*_{_AUDIO_KEY}.npy")}):
        if folder == root:
            raise SetupError(
                f"{root}: arrays outside any class folder; move them to {root}/CLASS/, or give "
                "the labels in a CSV file with --manifest (columns path,label[,id,split])"
            )
        relative = folder.relative_to(root)
        for name, arrays in sorted(_grouped(sorted(folder.glob("*.npy"))).items()):
            id_ = (relative / name).as_posix()
            yield Clip(id=id_, path=folder / name, label=relative.parts[0]), arrays


def _by_manifest(root: Path, manifest: Sequence[Clip]) -> Iterator[tuple[Clip, _Arrays]]:
    groups = _grouped(sorted(root.rglob("*.npy")))
    listed: set[str] = set()
    for clip in manifest:
        name = clip.path.stem
        if name not in groups:
            raise SetupError(
                f"{root}: no {name}_{_AUDIO_KEY}.npy for {clip.path}, which the manifest lists; "
                "make it, or take the row out of the manifest"
            )
        if name in listed:
            raise SetupError(
                f"{root}: the manifest lists two files called {name}, whose arrays would have one "
                "name; import them from two folders"
            )
        listed.add(name)
        yield clip, groups[name]


def _grouped(paths: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """NAME → KEY → file, for each NAME with sound; the longest NAME that fits has the file."""
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
    if key is None and len(keys) == 1:
        return arrays[keys[0]]
    if key in keys:
        return arrays[key]
    known = f"there are {', '.join(keys)}" if keys else "there are no visual arrays"
    wanted = (
        f"no {clip.path.name}_{key}.npy" if key else "it is ambiguous which visual array is meant"
    )
    raise UsageError(f"{arrays[_AUDIO_KEY]}: {wanted}; {known} (choose with --visual-key KEY)")


def _numbers(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, allow_pickle=False)  # a pickle could run code
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise SetupError(
            f"{path}: not a NumPy array of numbers ({reason}); write it again"
        ) from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        what = getattr(values, "dtype", "an archive")
        raise SetupError(f"{path}: not a NumPy array of numbers ({what}); write it again")
    return values


def _rows(path: Path) -> NDArray[np.float32]:
    values = _numbers(path)
    if values.ndim != 2 or 0 in values.shape:
        raise SetupError(
            f"{path}: must be (rows ≥ 1, D) numbers, not {values.shape}; "
            "write it again, or remove the clip's arrays"
        )
    rows: NDArray[np.float32] = values.astype(np.float32)
    return rows


def _times(arrays: _Arrays, count: int, *, seconds: float) -> NDArray[np.float64]:
    if _TIMES_KEY not in arrays:
        return (np.arange(count, dtype=np.float64) + 0.5) * (seconds / count)
    stamps = _numbers(arrays[_TIMES_KEY])
    if stamps.shape != (count,) or not np.isfinite(stamps).all():
        found = f"{stamps.shape}" if stamps.shape != (count,) else "NaN or infinite"
        raise SetupError(
            f"{arrays[_TIMES_KEY]}: {found} times for {count} visual rows; write it again, or "
            "remove it to spread the rows evenly"
        )
    return np.asarray(stamps, np.float64) / 1000
