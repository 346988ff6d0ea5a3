"""What the reader refuses, and how it says so."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import NotFoundError, SetupError
from preprocessing.store import FeatureStore, FeatureWriter


def write_text(_: SimpleNamespace, path: Path) -> None:
    path.write_text("not HDF5")


def write_foreign(_: SimpleNamespace, path: Path) -> None:
    with h5py.File(path, "w") as h5:
        h5["x"] = np.arange(3)


def write_newer(_: SimpleNamespace, path: Path) -> None:
    with h5py.File(path, "w") as h5:
        h5.attrs.update(format="avcmr-features", version=2)


def write_truncated(kit: SimpleNamespace, path: Path) -> None:
    kit.extract(path, kit.make_clips(path.parent / "raw", 3))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "why", "remedy"),
    [
        (write_text, "not an HDF5 file", "give another file, or make it again"),
        (
            write_foreign,
            "HDF5, but without the mark",
            "published features .* avcmr features import .*features.h5",
        ),
        (write_newer, "of version 2; this program knows 1", "use the avcmr that wrote it"),
        (write_truncated, "is damaged: .*truncated", "give another file, or make it again"),
    ],
)
def test_other_files_are_refused_and_left_alone(
    kit: SimpleNamespace,
    path: Path,
    clips: list[Clip],
    make: Callable[[SimpleNamespace, Path], None],
    why: str,
    remedy: str,
) -> None:
    make(kit, path)
    before = path.read_bytes()
    message = rf"features.h5 is not an avcmr feature store \({why}.*\); "
    with pytest.raises(SetupError, match=f"{message}choose another --out or move it away"):
        kit.extract(path, clips)
    with pytest.raises(SetupError, match=message + remedy) as caught:
        FeatureStore(path)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert path.read_bytes() == before
    assert not path.with_name("features.h5.parts").exists()


def test_stores_that_cannot_be_read_yet(
    kit: SimpleNamespace, path: Path, clips: list[Clip]
) -> None:
    with pytest.raises(NotFoundError, match=r"no feature store at .*; make one with the extract"):
        FeatureStore(path)
    with FeatureWriter(path, kit.provenance) as writer:
        writer.add(clips[0], kit.features_of(clips[0]))
    with pytest.raises(SetupError, match=r"is unfinished: 1 finished clips wait in .*parts; run"):
        FeatureStore(path)


def test_store_without_clips(kit: SimpleNamespace, path: Path, clips: list[Clip]) -> None:
    with FeatureWriter(path, kit.provenance) as writer:
        writer.fail(clips[0], kit.no_sound, attempts=1)
        writer.finish(clips)
    with pytest.raises(SetupError, match=r"holds no clips: all 1 failed, .* as no_audio: no sound"):
        FeatureStore(path)
