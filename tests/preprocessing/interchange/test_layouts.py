"""Published layouts against what a few lines of h5py and NumPy read and write."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from preprocessing.catalog.manifest import read_manifest
from preprocessing.clips import Clip
from preprocessing.errors import AvcmrError
from preprocessing.interchange import export, import_features, layout_of, read_published
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.store import FeatureStore, FeatureWriter, Provenance, merge_stores, subset_store


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def split_file(write_published) -> Callable[..., dict[str, np.ndarray]]:
    """Writes audio_train, …; returns what was written."""

    def write(path: Path, *, time: int = 0) -> dict[str, np.ndarray]:
        names, clips = ("drum", "dog", "cat"), {"train": 6, "test": 3}
        return write_published(path, clips, classes=names, dims=(8, 12), seconds=time)

    return write


@pytest.mark.parametrize("time", [0, 5])
def test_split_layout_becomes_a_store(split_file, tmp_path, time) -> None:
    columns = split_file(tmp_path / "a.h5", time=time)
    features = read_published(tmp_path / "a.h5")
    import_features(features, tmp_path / "store.h5")
    with FeatureStore(tmp_path / "store.h5") as store:
        assert store.splits.tolist() == ["train"] * 6 + ["test"] * 3
        assert store.labels.tolist() == ["drum", "dog", "cat"] * 3
        assert len(set(store.ids)) == 9
        for stream, means in (("audio", store.audio_means), ("visual", store.visual_means)):
            values = np.concatenate([columns[f"{stream}_train"], columns[f"{stream}_test"]])
            expected = values.mean(axis=1) if time else values
            np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-6)
        clip = store.clip(7)
        rows = columns["visual_test"][1].reshape(-1, 12)
        np.testing.assert_array_equal(clip.visual, rows)
        np.testing.assert_array_equal(clip.visual_times, np.arange(time or 1) + 0.5)
        assert clip.duration == (time or 0)
        assert clip.source.size == (tmp_path / "a.h5").stat().st_size


@pytest.mark.parametrize("column", ["Train_test", "Split"])
def test_flat_layout(tmp_path, column) -> None:
    draw = rng()
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["audio_feat"] = draw.normal(size=(4, 8))
        file["visual_feat"] = draw.normal(size=(4, 12))
        file["Label_ID"] = np.array([[10], [2], [10], [2]])
        file[column] = [1, 1, 0, 0]
        file["id"] = np.array(["a", "b", "c", "d"], dtype=h5py.string_dtype())
    features = read_published(tmp_path / "flat.h5")
    assert (features.layout, features.class_names) == ("flat", ())
    assert features.ids.tolist() == ["a", "b", "c", "d"]
    assert features.labels.tolist() == ["10", "2", "10", "2"]
    assert features.splits.tolist() == ["train", "train", "test", "test"]
    assert features.visual_means.dtype == np.float32


def test_ids_that_repeat_are_not_taken(split_file, tmp_path) -> None:
    split_file(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["id_train"] = np.array(list("abcdef"), dtype="S1")
        file["id_test"] = np.array(list("xya"), dtype="S1")  # a again
    features = read_published(tmp_path / "a.h5")
    ids = features.ids.tolist()
    assert len(set(ids)) == 9
    assert "a" not in ids
    assert features.repeated_ids == ("a", "a")
    assert [clip.source for clip in features.clips] == list("abcdefxya")


def test_rows_of_one_video_are_of_one_source(split_file, tmp_path) -> None:
    split_file(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["id_train"] = np.array(["v#0", "v#1", "w#1", "v", "x#y", "z"], dtype="S3")
        file["id_test"] = np.array(list("opq"), dtype="S1")
    features = read_published(tmp_path / "a.h5")
    assert [clip.source for clip in features.clips] == ["v", "v", "w", "v", "x#y", *"zopq"]


@pytest.mark.parametrize("layout", ["split", "flat", "numpy"])
def test_clips_of_one_file_or_source_stay_together_after_export(tmp_path, layout) -> None:
    make_store(tmp_path / "store.h5", sources=("", "film", "film", ""))  # of one file
    out = tmp_path / "out"
    with FeatureStore(tmp_path / "store.h5") as store:
        export(store, layout, out)
    manifest = read_manifest(out / "manifest.csv") if layout == "numpy" else None
    features = read_published(out, manifest=manifest)
    assert [clip.source for clip in features.clips] == ["film"] * 4
    import_features(features, tmp_path / "again.h5")
    merge_stores([tmp_path / "again.h5"], tmp_path / "merged.h5")
    subset_store(tmp_path / "merged.h5", tmp_path / "part.h5", lambda record: True)
    with FeatureStore(tmp_path / "part.h5") as store:
        assert [record.clip.source for record in store.records] == ["film"] * 4


def save_arrays(folder: Path, name: str, *, rows: int, key: str = "resnet", stamps: bool = True):
    """What video_features writes of one clip."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = rng()
    np.save(folder / f"{name}_vggish.npy", draw.normal(size=(rows, 8)).astype(np.float32))
    np.save(folder / f"{name}_{key}.npy", draw.normal(size=(2 * rows, 12)))
    if stamps:
        np.save(folder / f"{name}_fps.npy", np.array(2.0))
        np.save(folder / f"{name}_timestamps_ms.npy", 500.0 * np.arange(2 * rows))


def test_numpy_folders_by_class(tmp_path) -> None:
    save_arrays(tmp_path / "in" / "dog", "a", rows=3)
    save_arrays(tmp_path / "in" / "dog", "a_b", rows=2)  # its files begin as those of a do
    save_arrays(tmp_path / "in" / "cat", "a", rows=4, stamps=False)
    features = read_published(tmp_path / "in")
    assert features.ids.tolist() == ["cat/a", "dog/a", "dog/a_b"]
    assert features.labels.tolist() == ["cat", "dog", "dog"]
    assert np.diff(features.block.audio.offsets).tolist() == [4, 3, 2]
    times = features.block.visual.clip(1).times
    np.testing.assert_allclose(times, 0.5 * np.arange(6))
    evenly = features.block.visual.clip(0).times  # 8 rows over 4 × 0.96 s
    np.testing.assert_allclose(evenly, 0.48 * (np.arange(8) + 0.5))
    np.testing.assert_allclose(features.block.audio.clip(2).times, [0.48, 1.44])


def test_numpy_folders_of_several_networks_with_a_manifest(tmp_path) -> None:
    for name in ("a", "b"):
        save_arrays(tmp_path / "in" / "vggish", name, rows=3)
        (tmp_path / "in" / "clip").mkdir(exist_ok=True)
        np.save(tmp_path / "in" / "clip" / f"{name}_clip.npy", np.ones((6, 5)))
    (tmp_path / "clips.csv").write_text("path,label,split\nx/a.mp4,dog,train\nb.mp4,cat,test\n")
    manifest = read_manifest(tmp_path / "clips.csv")
    with pytest.raises(AvcmrError, match=r"there are clip, resnet .*--visual-key"):
        read_published(tmp_path / "in", manifest=manifest)
    features = read_published(tmp_path / "in", manifest=manifest, visual_key="clip")
    assert features.ids.tolist() == ["x/a", "b"]
    assert features.splits.tolist() == ["train", "test"]
    assert features.block.visual.values.shape == (12, 5)


def make_store(
    path: Path,
    *,
    rows: tuple[int, ...] = (3, 3, 3, 3),
    splits: str = "train",
    sources: tuple[str, ...] = ("",) * 4,
) -> None:
    draw = rng()
    clips = [
        Clip(f"c{i % 2}/{i}", path, f"c{i % 2}", splits, source=sources[i])
        for i in range(len(rows))
    ]
    clips[1] = replace(clips[1], event_start=0.5, event_end=2.0)
    with FeatureWriter(path, Provenance({}, {}, "fake")) as writer:
        for clip, count in zip(clips, rows, strict=True):
            writer.add(
                clip,
                ClipFeatures(
                    visual=draw.standard_normal((count, 12), np.float32),
                    visual_times=np.arange(count) + 0.25,
                    audio=draw.standard_normal((count, 8), np.float32),
                    audio_times=0.96 * np.arange(count) + 0.48,
                    duration=float(count),
                    source=Source(1, 1),
                ),
            )
        writer.finish(clips)


@pytest.mark.parametrize(
    ("layout", "sequences"), [("split", False), ("split", True), ("flat", True), ("numpy", False)]
)
def test_what_is_exported_is_imported_again(tmp_path, layout, sequences) -> None:
    make_store(tmp_path / "store.h5")
    out = tmp_path / ("arrays" if layout == "numpy" else "out.h5")
    with FeatureStore(tmp_path / "store.h5") as store:
        export(store, layout, out, sequences=sequences)
        assert layout_of(out) == layout
        manifest = read_manifest(out / "manifest.csv") if layout == "numpy" else None
        again = read_published(out, manifest=manifest)
        assert again.ids.tolist() == store.ids.tolist()
        assert again.labels.tolist() == store.labels.tolist()
        assert again.splits.tolist() == store.splits.tolist()
        np.testing.assert_allclose(again.visual_means, store.visual_means, atol=1e-6)
        np.testing.assert_allclose(again.audio_means, store.audio_means, atol=1e-6)
        if layout == "numpy" or sequences:
            for index in range(len(store)):
                np.testing.assert_array_equal(
                    again.block.visual.clip(index).values, store.clip(index).visual
                )
        if layout == "numpy":
            np.testing.assert_allclose(again.block.visual.clip(3).times, [0.25, 1.25, 2.25])
            np.testing.assert_array_equal(again.events, store.events)
            assert again.events[1].tolist() == [0.5, 2.0]


def test_ids_that_are_no_file_names_are_numbered(tmp_path) -> None:
    clip = Clip("../out", tmp_path / "x.mp4", "c0", "train")
    with FeatureWriter(tmp_path / "store.h5", Provenance({}, {}, "fake")) as writer:
        one = np.ones((1, 4), np.float32)
        writer.add(clip, ClipFeatures(one, np.ones(1), one, np.ones(1), 1.0, Source(1, 1)))
        writer.finish([clip])
    with FeatureStore(tmp_path / "store.h5") as store:
        export(store, "numpy", tmp_path / "arrays")
    with (tmp_path / "arrays" / "manifest.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["../out"]
    assert (tmp_path / "arrays" / "000000_vggish.npy").is_file()


def write_nothing(path: Path) -> None:
    path.write_text("no features")


def drop_labels(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["lab_test"]


def replaced(name: str, values: object) -> Callable[[Path], None]:
    """Other values in one data set, or in the attribute ``classes``."""

    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            if name == "classes":
                file.attrs[name] = values
                return
            if name in file:
                del file[name]
            file[name] = values

    return damage


def unnamed_clip(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["id_train"] = np.array(list("abcdef"), "S1")
        file["id_test"] = np.array(list("xy"), "S1")


def group(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["audio_test"]
        file.create_group("audio_test")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def damaged_chunk(path: Path) -> None:
    """One compressed chunk is noise: HDF5 opens the file and cannot read it."""
    with h5py.File(path, "a") as file:
        del file["visual_test"]
        packed = file.create_dataset("visual_test", data=np.ones((3, 12)), compression="gzip")
        where = packed.id.get_chunk_info(0)
    whole = bytearray(path.read_bytes())
    end = where.byte_offset + where.size
    whole[where.byte_offset : end] = b"\xff" * where.size
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write_nothing, r"docs/features.md"),
        (drop_labels, r"without lab_test; add it"),
        (replaced("classes", ["drum"]), r"labels from 0 to 2, but 1 names"),
        (replaced("classes", ["a", "b", "a"]), r"attribute classes names a more than once"),
        (replaced("audio_test", np.ones((3, 9))), r"audio_train of \(8,\), audio_test of \(9,\)"),
        (replaced("visual_test", np.ones((3, 2, 12))), r"visual_test of \(2, 12\)"),
        (replaced("audio_test", np.ones((2, 8))), r"must be \(3, D\) or .*audio_test"),
        (replaced("visual_test", 3.0), r"visual_test must be a list .* is a single value"),
        (replaced("audio_test", h5py.Empty("f")), r"audio_test must be a list"),
        (group, r"audio_test must be a list .* is a group"),
        (replaced("audio_test", np.array(["a"] * 3, "S1")), r"audio_test must hold numbers, not"),
        (replaced("lab_test", 1), r"lab_test must be a list"),
        (replaced("lab_test", np.array([0, np.nan, 1])), r"lab_test must hold whole .* has nan"),
        (replaced("lab_test", np.array([0, 1.7, 1])), r"lab_test must hold whole .* has 1.7"),
        (replaced("lab_test", np.array([0, -1, 1])), r"lab_test must hold whole .* has -1"),
        (replaced("lab_test", np.array([0, 1])), r"2 labels for 3 clips \(lab_test\)"),
        (unnamed_clip, r"2 entries for 3 clips \(id_test\)"),
        (damaged_chunk, r"is damaged: .*fetch it again"),
        (cut_short, r"is damaged: .*truncated.*fetch it again"),
    ],
)
def test_hdf5_that_cannot_be_read_is_named(split_file, tmp_path, damage, message) -> None:
    split_file(tmp_path / "in")
    damage(tmp_path / "in")
    with pytest.raises(AvcmrError, match=message) as caught:
        read_published(tmp_path / "in")
    assert str(tmp_path / "in") in str(caught.value)
    assert "\n" not in str(caught.value)


def stamped(save: Callable[[Path], object]) -> Callable[[Path], None]:
    """A folder of arrays whose time stamps are written in some other way."""

    def make(folder: Path) -> None:
        save_arrays(folder / "dog", "a", rows=2, stamps=False)
        save(folder / "dog" / "a_timestamps_ms.npy")

    return make


def pickled(folder: Path) -> None:
    save_arrays(folder / "dog", "a", rows=2)
    np.save(folder / "dog" / "a_resnet.npy", np.array([{"code": 1}]), allow_pickle=True)


def of_many_faults(folder: Path) -> None:
    """dog/a: a_resnet.*dog/b: b_resnet.*2 of 2 rows.*dog/c: .*dog/d: visual rows of 13.*; write"""
    for name in "abcdefg":
        save_arrays(folder / "dog", name, rows=1)
    np.save(folder / "dog" / "a_resnet.npy", np.array([{}]), allow_pickle=True)
    np.save(folder / "dog" / "b_resnet.npy", np.array([[np.nan, 1], [1e60, 0]]))
    np.save(folder / "dog" / "c_vggish.npy", np.ones((1, 1, 8)))
    np.save(folder / "dog" / "d_resnet.npy", np.ones((2, 13)))


def without_rows(folder: Path) -> None:
    save_arrays(folder / "dog", "a", rows=1)
    np.save(folder / "dog" / "a_vggish.npy", np.ones((0, 8)))


def unlabelled(folder: Path) -> None:
    save_arrays(folder, "a", rows=2)


def silent(folder: Path) -> None:
    save_arrays(folder / "dog", "a", rows=2)
    (folder / "dog" / "a_resnet.npy").unlink()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (pickled, r"a_resnet.npy: not a NumPy array"),
        (stamped(lambda path: path.write_bytes(b"junk")), r"a_timestamps_ms.npy: not a NumPy"),
        (
            stamped(lambda path: np.save(path, np.array([{}] * 4), allow_pickle=True)),
            r"a_timestamps_ms.npy: not a NumPy array",
        ),
        (stamped(lambda path: np.save(path, np.array(["0"] * 4))), r"not a NumPy .*<U1"),
        (stamped(lambda path: np.save(path, np.full(4, np.nan))), r"NaN or infinite times for 4"),
        (stamped(lambda path: np.save(path, np.arange(3))), r"\(3,\) times for 4 visual rows"),
        (unlabelled, r"outside any class folder; move"),
        (silent, r"no visual array beside a_vggish"),
        (of_many_faults, of_many_faults.__doc__),
        (without_rows, r"none of its 1 clips has a row"),
    ],
)
def test_folders_that_cannot_be_read_are_named(tmp_path, make, message) -> None:
    make(tmp_path / "in")
    with pytest.raises(AvcmrError, match=message) as caught:
        read_published(tmp_path / "in")
    assert str(tmp_path / "in") in str(caught.value)


def test_empty_arrays_are_left_out_and_single_rows_taken(tmp_path, caplog) -> None:
    for name in "abcd":
        save_arrays(tmp_path / "dog", name, rows=2, stamps=False)
    np.save(tmp_path / "dog" / "a_vggish.npy", np.arange(8.0))
    np.save(tmp_path / "dog" / "b_vggish.npy", np.ones((0, 8)))
    np.save(tmp_path / "dog" / "c_resnet.npy", np.array([]))
    save_arrays(tmp_path / "dog" / ".ipynb_checkpoints", "d", rows=2)
    save_arrays(tmp_path / "__MACOSX" / "dog", "d", rows=2)
    features = read_published(tmp_path)
    assert features.ids.tolist() == ["dog/a", "dog/d"]
    np.testing.assert_array_equal(features.block.audio.clip(0).values, [np.arange(8.0)])
    assert "2 clips have an array without rows and are left out: dog/b, dog/c" in caplog.text


def test_a_manifest_of_clips_without_arrays(tmp_path) -> None:
    save_arrays(tmp_path, "a", rows=2)
    clips = [Clip(name, Path(f"{name}.mp4"), "x") for name in "abc"]
    with pytest.raises(AvcmrError, match=r"no b_vggish.npy for b.mp4; no c_vggish.npy .*; make"):
        read_published(tmp_path, manifest=clips)
    with pytest.raises(AvcmrError, match=r"2 files called a; the arrays"):
        read_published(tmp_path, manifest=[clips[0], replace(clips[0], id="b")])


@pytest.mark.parametrize(
    ("rows", "splits", "layout", "sequences", "message"),
    [
        ((3, 2), "train", "split", True, r"2 to 3 audio rows"),
        ((3, 3), "", "split", False, r"2 clips without a split"),
        ((3, 3), "val", "flat", False, r"use --layout split"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(
    tmp_path, rows, splits, layout, sequences, message
) -> None:
    make_store(tmp_path / "store.h5", rows=rows, splits=splits)
    with FeatureStore(tmp_path / "store.h5") as store:
        with pytest.raises(AvcmrError, match=message):
            export(store, layout, tmp_path / "out.h5", sequences=sequences)
        assert list(tmp_path.iterdir()) == [tmp_path / "store.h5"]  # nothing half-written
        (tmp_path / "out.h5").touch()
        with pytest.raises(AvcmrError, match="exists already"):
            export(store, layout, tmp_path / "out.h5")
