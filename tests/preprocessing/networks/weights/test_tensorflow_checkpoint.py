"""Checkpoints that TensorFlow 2.21 wrote, and tables put together by hand.

``tensorflow/vggish_v1.ckpt`` and ``vggish_v2.ckpt`` are by ``tf.compat.v1.train.Saver``: VGGish's
variables by name, made tiny. The k-th, weights before biases, holds arange(size) / 8 + k. With
them an int64 ``global_step``.
"""

import shutil
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from preprocessing.networks.conversion import VGGISH_VARIABLES
from preprocessing.networks.weights.tensorflow_checkpoint import (
    CheckpointError,
    is_checkpoint,
    read_checkpoint,
)

FOLDER = Path(__file__).parent / "tensorflow"
V1, V2 = FOLDER / "vggish_v1.ckpt", FOLDER / "vggish_v2.ckpt"
INDEX, SHARD = (FOLDER / f"{V2.name}.{part}" for part in ("index", "data-00000-of-00001"))


def expected() -> dict[str, np.ndarray]:
    convolutions = [(3, 3, i, 2) for i in (1, 2, 2, 2, 2, 2)]
    variables = {}
    for scope, shape in zip(VGGISH_VARIABLES.values(), [*convolutions, *[(3, 2)] * 3], strict=True):
        for kind, dims in (("weights", shape), ("biases", (2,))):
            values = np.arange(np.prod(dims), dtype=np.float32) / 8 + len(variables)
            variables[f"vggish/{scope}/{kind}"] = values.reshape(dims)
    return variables


@pytest.mark.parametrize("path", [V1, V2, INDEX], ids=["v1", "v2 prefix", "v2 index"])
def test_what_tensorflow_wrote(path: Path) -> None:
    assert is_checkpoint(path)
    found = read_checkpoint(path)
    assert sorted(found) == sorted(expected())  # and no global_step, which is no float
    for name, values in expected().items():
        np.testing.assert_array_equal(found[name].numpy(), values, err_msg=name)
        found[name].add_(1)  # memory of its own, which may be written


@pytest.mark.parametrize("file", [V1, INDEX, SHARD], ids=lambda path: path.name)
def test_no_damage_goes_unnoticed(tmp_path: Path, file: Path) -> None:
    """Every 7th byte changed, and files cut anywhere: refused, or the variables are right."""
    path = V1 if file == V1 else V2
    copy = tmp_path / file.name
    content = file.read_bytes()
    damaged = [
        bytes([*content[:at], content[at] ^ 0x10, *content[at + 1 :]])
        for at in range(0, len(content), 7)
    ]
    refused = 0
    for changed in [*damaged, *(content[:size] for size in range(0, len(content), 41))]:
        for other in (V1, INDEX, SHARD):
            shutil.copyfile(other, tmp_path / other.name)
        copy.write_bytes(changed)
        try:
            found = read_checkpoint(tmp_path / path.name)
        except CheckpointError:
            refused += 1
        else:
            assert all(np.array_equal(found[name], values) for name, values in expected().items())
    # What may change unseen: the few bytes that pad the footer, and the index of nothing.
    assert refused > 0.9 * (len(content) / 7 + len(content) / 41)


def varint(number: int) -> bytes:
    groups = []
    while True:
        number, group = divmod(number, 128)
        groups.append(group | (128 if number else 0))
        if not number:
            return bytes(groups)


def table(blocks: list[list[tuple[bytes, bytes]]], *, compression: int = 0) -> bytes:
    """A table in LevelDB's format, in the simplest way: no key shares bytes with another."""
    written = b""
    handles = []

    def block(entries: list[tuple[bytes, bytes]]) -> bytes:
        nonlocal written
        body = b""
        for key, value in entries:
            body += varint(0) + varint(len(key)) + varint(len(value)) + key + value
        body += struct.pack("<II", 0, 1)  # one restart, at 0
        crc = google_crc32c.value(body + bytes([compression]))
        crc = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
        handle = varint(len(written)) + varint(len(body))
        written += body + bytes([compression]) + struct.pack("<I", crc)
        return handle

    handles = [(entries[-1][0], block(entries)) for entries in blocks]
    footer = (block([]) + block(handles)).ljust(40, b"\0")
    return written + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def checkpoint(*, slices: int = 1, floats: int = 300, compression: int = 0) -> bytes:
    """Version 1 with one variable ``x`` of 300, its header in one block, its data in another."""
    shape = field(2, field(1, 300))
    meta = field(1, b"x") + field(2, shape) + field(3, 1) + slices * field(4, b"")
    values = np.arange(floats, dtype="<f4").tobytes()
    data = field(1, b"x") + field(3, field(1, 1) + field(5, values))
    return table(
        [[(b"", field(1, field(1, meta)))], [(b"\0x", field(2, data))]], compression=compression
    )


def test_entries_of_several_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(checkpoint())
    np.testing.assert_array_equal(read_checkpoint(path)["x"], np.arange(300))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (checkpoint(slices=2), "x is partitioned"),
        (checkpoint(floats=299), "x has 1196 bytes"),
        (checkpoint(compression=1), "compressed"),
        (table([[(b"a", b"")]]), "first entry is not the header"),
        (table([[(b"", b"\x0f\x0f")]]), "not a SavedTensorSlices"),
        (b"too short", "cut short"),
    ],
)
def test_what_is_not_read(tmp_path: Path, content: bytes, wanted: str) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=wanted):
        read_checkpoint(path)


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    assert not is_checkpoint(tmp_path / "absent")
    for content in (b"", b"x", bytes(100)):
        (tmp_path / "x").write_bytes(content)
        assert not is_checkpoint(tmp_path / "x")
