"""TFRecords against TensorBoard's writer and checksum, and a file that TensorFlow wrote."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from preprocessing.errors import SetupError
from preprocessing.interchange.tfrecord import masked_crc, read_examples, read_records

RECORDS = [b"", b"x", bytes(range(256)) * 50]


def write(path: Path, records: list[bytes]) -> None:
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for record in records:
        writer.write(record)
    path.write_bytes(buffer.getvalue())


def test_checksum() -> None:
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720's polynomial, the usual check value).
    assert (
        masked_crc(b"123456789")
        == (((0xE3069283 >> 15) | (0xE3069283 << 17 & 0xFFFFFFFF)) + 0xA282EAD8) & 0xFFFFFFFF
    )
    for data in RECORDS:
        assert masked_crc(data) == masked_crc32c(data)


def test_records_of_another_writer(tmp_path) -> None:
    write(tmp_path / "a.tfrecord", RECORDS)
    assert list(read_records(tmp_path / "a.tfrecord")) == RECORDS


@pytest.mark.parametrize("position", [0, 9, 12 + 500, -1])
def test_every_damaged_byte_is_noticed(tmp_path, position) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, [RECORDS[2], b"second"])
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(SetupError, match=r"a.tfrecord: record [01] is damaged .*download"):
        list(read_records(path))


@pytest.mark.parametrize("missing", [1, 5, 10, 17])
def test_a_file_cut_short_is_noticed(tmp_path, missing) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, [RECORDS[2], b"second"])
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(SetupError, match="record 1 is damaged or cut short"):
        list(read_records(path))


def test_an_absurd_length_is_not_read(tmp_path) -> None:
    """A length whose own checksum is wrong is never believed."""
    (tmp_path / "a.tfrecord").write_bytes(struct.pack("<QI", 1 << 60, 0))
    with pytest.raises(SetupError, match="record 0"):
        list(read_records(tmp_path / "a.tfrecord"))


def test_what_is_no_example_is_named(tmp_path) -> None:
    write(tmp_path / "a.tfrecord", [b"\xff\xff\xff"])
    with pytest.raises(SetupError, match=r"record 0 is no tf.train.Example"):
        list(read_examples(tmp_path / "a.tfrecord"))


def test_audioset_shard(assets) -> None:
    """A shard of AudioSet's VGGish features, against an array that others made of it."""
    known = np.load(assets / "audioset_vggish" / "audioset_vggish_uint8.npz")
    ends = np.cumsum(known["lengths"])
    rows = dict(zip(known["video_id"].tolist(), np.split(known["emb"], ends[:-1]), strict=True))
    labels = dict(zip(known["video_id"].tolist(), known["labels"].tolist(), strict=True))
    seen = 0
    for example in read_examples(assets / "audioset_vggish" / "rm.tfrecord"):
        id_ = example.context.feature["video_id"].bytes_list.value[0].decode()
        frames = example.feature_lists.feature_list["audio_embedding"].feature
        values = np.stack([np.frombuffer(f.bytes_list.value[0], np.uint8) for f in frames])
        np.testing.assert_array_equal(values, rows[id_])
        numbers = example.context.feature["labels"].int64_list.value
        assert " ".join(map(str, numbers)) == labels[id_]
        assert example.context.feature["end_time_seconds"].float_list.value[0] > 0
        seen += 1
    assert seen > 10
