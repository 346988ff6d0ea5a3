"""YouTube-8M shards written here byte by byte, against what was written."""

import io
from pathlib import Path

import numpy as np
import pytest
from tensorboard.summary.writer.record_writer import RecordWriter
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from preprocessing.errors import AvcmrError
from preprocessing.interchange.youtube8m import (
    exclusive_labels,
    read_vocabulary,
    select,
    write_benchmark,
)
from preprocessing.store import FeatureStore


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def entry(key: str, value: bytes) -> bytes:
    return field(1, field(1, key.encode()) + field(2, value))


def texts(*values: bytes) -> bytes:
    return field(1, b"".join(field(1, value) for value in values))


def floats(values: np.ndarray) -> bytes:
    return field(2, field(1, values.astype("<f4").tobytes()))


def numbers(values: list[int]) -> bytes:
    return field(3, field(1, b"".join(map(varint, values))))


def video_level(id_: str, labels: list[int], rgb: np.ndarray, audio: np.ndarray) -> bytes:
    features = {
        "id": texts(id_.encode()),
        "labels": numbers(labels),
        "mean_rgb": floats(rgb),
        "mean_audio": floats(audio),
    }
    return field(1, b"".join(entry(key, value) for key, value in features.items()))


def frame_level(id_: str, labels: list[int], rgb: np.ndarray, audio: np.ndarray) -> bytes:
    context = entry("id", texts(id_.encode())) + entry("labels", numbers(labels))
    lists = b"".join(
        entry(key, b"".join(field(1, texts(row.tobytes())) for row in rows))
        for key, rows in (("rgb", rgb), ("audio", audio))
    )
    return field(1, context) + field(2, lists)


def write_shard(path: Path, examples: list[bytes]) -> None:
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for example in examples:
        writer.write(example)
    path.write_bytes(buffer.getvalue())


LABELS = [[3], [3, 900], [5], [5], [3], [5], [3, 5], [900], [3], [3], [5], [5]]


@pytest.fixture
def shards(tmp_path) -> tuple[list[Path], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Two video-level shards; class 900 lies within class 3 by half of its videos."""
    draw = np.random.default_rng(0)
    features = {
        f"v{i:03d}": (draw.normal(size=1024).astype("f4"), draw.normal(size=128).astype("f4"))
        for i in range(len(LABELS))
    }
    features["v008"] = (features["v009"][0], features["v008"][1])  # one picture, two videos
    examples = [
        video_level(id_, labels, *features[id_])
        for id_, labels in zip(features, LABELS, strict=True)
    ]
    write_shard(tmp_path / "validate0000.tfrecord", examples[:4])
    write_shard(tmp_path / "validate0001.tfrecord", examples[4:])
    return sorted(tmp_path.glob("*.tfrecord")), features


def test_exclusive_videos_become_a_store(shards, tmp_path) -> None:
    paths, features = shards
    selection = select(paths, 2)
    assert selection.classes == (3, 5)  # 900 shares 1 of its 2 videos with 3
    # Not 6, which has both, nor 7, which has none, nor 8 and 9, which share a vector.
    taken = [*range(6), 10, 11]
    assert [video.id for video, _ in selection.videos] == [f"v{i:03d}" for i in taken]
    assert (selection.read, selection.shared) == (12, 2)
    write_benchmark(selection, {3: "Guitar"}, tmp_path / "out.h5")
    with FeatureStore(tmp_path / "out.h5") as store:
        assert store.labels.tolist() == ["Guitar", "Guitar", "5", "5", "Guitar", "5", "5", "5"]
        for index, id_ in enumerate(store.ids):
            np.testing.assert_array_equal(store.visual_means[index], features[id_][0])
            np.testing.assert_array_equal(store.audio_means[index], features[id_][1])
        for label in ("Guitar", "5"):
            assert set(store.splits[store.labels == label]) == {"train", "val", "test"}


def test_frame_level_features_are_dequantised(tmp_path) -> None:
    draw = np.random.default_rng(0)
    codes = [
        (draw.integers(0, 256, (t, 1024), np.uint8), draw.integers(0, 256, (t, 128), np.uint8))
        for t in (2, 3, 4, 5, 6, 7)
    ]
    examples = [frame_level(f"v{i}", [i % 2], *pair) for i, pair in enumerate(codes)]
    write_shard(tmp_path / "a.tfrecord", examples)
    write_benchmark(select([tmp_path / "a.tfrecord"], 2), {}, tmp_path / "out.h5")
    with FeatureStore(tmp_path / "out.h5") as store:
        for index, (rgb, audio) in enumerate(codes):
            clip = store.clip(index)
            for rows, quantized in ((clip.visual, rgb), (clip.audio, audio)):
                # utils.Dequantize of YouTube-8M's code, with max 2 and min -2
                expected = quantized.astype(np.float64) * (4 / 255) + (4 / 512 - 2)
                np.testing.assert_allclose(rows, expected, atol=1e-6)
            assert clip.duration == len(rgb)


def test_the_rule_of_exclusive_labels_against_a_plain_loop() -> None:
    draw = np.random.default_rng(1)
    sets = [frozenset(draw.choice(30, size=draw.integers(1, 4)).tolist()) for _ in range(300)]
    expected: list[int] = []
    frequency = {label: sum(label in labels for labels in sets) for label in range(30)}
    for label in sorted(frequency, key=lambda label: (-frequency[label], label)):
        shared = [sum(label in s and other in s for s in sets) for other in expected]
        limits = [0.2 * min(frequency[label], frequency[other]) for other in expected]
        if all(both < limit for both, limit in zip(shared, limits, strict=True)):
            expected.append(label)
    assert 5 < len(expected) < 30
    assert exclusive_labels(sets, 30) == expected
    assert exclusive_labels(sets, 4) == expected[:4]


@pytest.mark.parametrize(("classes", "message"), [(4, "--classes 2"), (3, "--classes 2")])
def test_too_many_classes_are_refused_with_what_there_is(shards, classes, message) -> None:
    with pytest.raises(AvcmrError, match=message):
        select(shards[0], classes)


def test_other_records_are_named(tmp_path) -> None:
    write_shard(tmp_path / "a.tfrecord", [video_level("v", [1], np.ones(7), np.ones(128))])
    with pytest.raises(AvcmrError, match=r"a.tfrecord: video v has no rgb of 1024"):
        select([tmp_path / "a.tfrecord"], 2)


def test_vocabulary(tmp_path) -> None:
    (tmp_path / "vocabulary.csv").write_text(
        "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl\n0,788288,/m/03bt1gh,Game,x\n"
        '1,539945,/m/01mf0,"Trailer, promotion",y\n'
    )
    names = read_vocabulary(tmp_path / "vocabulary.csv")
    assert names == {0: "Game", 1: "Trailer, promotion"}
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AvcmrError, match=r"other.csv: no columns Index and Name"):
        read_vocabulary(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Index,Name\n0,Game\nx7,Car\n", "line 3: Index is 'x7', not the number of a label"),
        (b"Index,Name\n,Game\n", "line 2: Index is '', not"),
        (b"Index,Name\n0,Caf\xe9\n", "line 2: byte e9"),
    ],
)
def test_a_vocabulary_that_is_none(tmp_path, content, message) -> None:
    (tmp_path / "vocabulary.csv").write_bytes(content)
    with pytest.raises(AvcmrError, match=message):
        read_vocabulary(tmp_path / "vocabulary.csv")


def test_command(shards, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vocabulary.csv").write_text("Index,Name\n3,Guitar\n5,Drum\n")
    arguments = ["--vocabulary", "vocabulary.csv", "--classes", "2"]
    result = CliRunner().invoke(
        app, ["dataset", "yt8m", "--shards", "validate*.tfrecord", *arguments]
    )
    assert (result.exit_code, result.stdout) == (0, "yt8m.h5\n"), result.stderr
    assert "12 videos in 2 shards; 8 selected, 2 dropped" in " ".join(result.stderr.split())
    dataset = load_dataset(Path("yt8m.h5"), load_config().data)
    assert dataset.class_names == ("Drum", "Guitar")
    result = CliRunner().invoke(app, ["dataset", "yt8m", "--shards", "no*", *arguments])
    assert result.exit_code == 2
    assert "no file fits --shards no*; download" in " ".join(result.stderr.split())


def test_a_shard_that_changes_meanwhile_is_noticed(shards, tmp_path) -> None:
    paths, features = shards
    selection = select(paths, 2)
    write_shard(paths[1], [video_level("new", [3], *features["v000"])])
    with pytest.raises(AvcmrError, match="has changed while it was read"):
        write_benchmark(selection, {}, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
