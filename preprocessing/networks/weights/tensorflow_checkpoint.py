"""TensorFlow's checkpoints, read without TensorFlow.

Version 1 is one file, version 2 an index and shards of data. Both keep their entries in tables in
LevelDB's format: blocks of sorted entries whose keys are stored as differences, each block with a
masked CRC-32C; an index block of blocks; and a footer. The messages are those of
``saved_tensor_slice.proto`` and ``tensor_bundle.proto`` in tensorflow/core.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError
from torch import Tensor

from preprocessing.interchange.tfrecord import masked_crc

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_FLOAT = 1
"""DT_FLOAT; other types (a count of steps, say) are no weights and are left out."""

# Packed floats are bytes on the wire, and read as such without a list of Python's numbers.
_SCHEMA = """
name: "avcmr/checkpoint.proto" package: "avcmr" syntax: "proto3"
message_type { name: "Dim" field { name: "size" number: 1 type: TYPE_INT64 } }
message_type { name: "Shape"
  field { name: "dim" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "Dim" } }
message_type { name: "Extent" field { name: "length" number: 2 type: TYPE_INT64 } }
message_type { name: "Slice"
  field { name: "extent" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "Extent" } }
message_type { name: "SliceMeta"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "shape" number: 2 type: TYPE_MESSAGE type_name: "Shape" }
  field { name: "type" number: 3 type: TYPE_INT32 }
  field { name: "slice" number: 4 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "Slice" } }
message_type { name: "Meta"
  field { name: "tensor" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "SliceMeta" } }
message_type { name: "TensorData" field { name: "float_val" number: 5 type: TYPE_BYTES } }
message_type { name: "SavedSlice"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "data" number: 3 type: TYPE_MESSAGE type_name: "TensorData" } }
message_type { name: "SavedTensorSlices"
  field { name: "meta" number: 1 type: TYPE_MESSAGE type_name: "Meta" }
  field { name: "data" number: 2 type: TYPE_MESSAGE type_name: "SavedSlice" } }
message_type { name: "BundleHeader" field { name: "num_shards" number: 1 type: TYPE_INT32 } }
message_type { name: "BundleEntry"
  field { name: "dtype" number: 1 type: TYPE_INT32 }
  field { name: "shape" number: 2 type: TYPE_MESSAGE type_name: "Shape" }
  field { name: "shard_id" number: 3 type: TYPE_INT32 }
  field { name: "offset" number: 4 type: TYPE_INT64 }
  field { name: "size" number: 5 type: TYPE_INT64 }
  field { name: "crc32c" number: 6 type: TYPE_FIXED32 }
  field { name: "slices" number: 7 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "Slice" } }
"""


class CheckpointError(ValueError):
    """A checkpoint is damaged, or of a kind that is not read here."""


def _messages() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()  # of our own: TensorFlow's, if loaded, stays out of it
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return pool


_POOL = _messages()


def _parse(name: str, data: bytes) -> Any:
    message = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"avcmr.{name}"))
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise CheckpointError(f"not a {name} ({error})") from None


def is_checkpoint(path: Path) -> bool:
    """Whether this is a checkpoint: of version 1, the index of version 2, or its prefix."""
    if not path.is_file():
        return _index_file(path).is_file()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        return file.read() == struct.pack("<Q", _MAGIC)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The float32 variables of a checkpoint, under their names in TensorFlow.

    Args:
        path: the file of version 1, or the index or the prefix of version 2.

    Raises:
        CheckpointError: it is damaged, or has partitioned variables.
        OSError: a file is missing.
    """
    path = path if path.is_file() else _index_file(path)
    entries = _entries(path.read_bytes())
    key, first = next(entries, (b"", b""))
    if key:
        raise CheckpointError("its first entry is not the header")
    return _bundle(path, first, entries) if path.suffix == ".index" else _slices(first, entries)


def _index_file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _slices(header: bytes, entries: Iterator[tuple[bytes, bytes]]) -> dict[str, Tensor]:
    """Version 1: every entry is a variable, or a slice of one."""
    metas = {meta.name: meta for meta in _parse("SavedTensorSlices", header).meta.tensor}
    tensors = {}
    for _, value in entries:
        saved = _parse("SavedTensorSlices", value).data
        meta = metas.get(saved.name)
        if meta is None:
            raise CheckpointError(f"{saved.name} is not in its header")
        if len(meta.slice) > 1:
            raise CheckpointError(f"{saved.name} is partitioned")
        if meta.type == _FLOAT:
            tensors[saved.name] = _tensor(saved.name, saved.data.float_val, meta.shape)
    return tensors


def _bundle(
    index: Path, header: bytes, entries: Iterator[tuple[bytes, bytes]]
) -> dict[str, Tensor]:
    """Version 2: every entry says where in which shard a variable lies."""
    shards = _parse("BundleHeader", header).num_shards
    tensors = {}
    for key, value in entries:
        name, entry = key.decode(), _parse("BundleEntry", value)
        if entry.slices:
            raise CheckpointError(f"{name} is partitioned")
        if entry.dtype == _FLOAT:
            shard = index.with_name(f"{index.stem}.data-{entry.shard_id:05}-of-{shards:05}")
            with shard.open("rb") as file:
                file.seek(entry.offset)
                data = file.read(entry.size)
            if masked_crc(data) != entry.crc32c:
                raise CheckpointError(f"the data of {name} is damaged or cut short")
            tensors[name] = _tensor(name, data, entry.shape)
    return tensors


def _tensor(name: str, data: bytes, shape: Any) -> Tensor:
    dims = [dim.size for dim in shape.dim]
    if len(data) != 4 * np.prod(dims, dtype=np.int64):
        raise CheckpointError(f"{name} has {len(data)} bytes, which is not {dims} float32")
    return torch.from_numpy(np.frombuffer(data, "<f4").reshape(dims).copy())


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in its order."""
    footer = table[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise CheckpointError("it does not end as a checkpoint does: cut short?")
    _, position = _handle(footer, 0)  # of the metaindex, which is empty
    index, _ = _handle(footer, position)
    for _, handle in _block(table, *index):
        block, _ = _handle(handle, 0)
        yield from _block(table, *block)


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of one block: each key shares its first bytes with the one before."""
    whole = table[offset : offset + size + 5]  # with the type of compression and the checksum
    if len(whole) < size + 5 or size < 4:
        raise CheckpointError("a block is cut short")
    if struct.unpack("<I", whole[-4:])[0] != masked_crc(whole[:-4]):
        raise CheckpointError("a block is damaged")
    if whole[size]:
        raise CheckpointError("it is compressed, which TensorFlow's own never are")
    restarts = struct.unpack("<I", whole[size - 4 : size])[0]
    end, position, key = size - 4 * (restarts + 1), 0, b""
    while position < end:
        shared, position = _varint(whole, position)
        unshared, position = _varint(whole, position)
        length, position = _varint(whole, position)
        key = key[:shared] + whole[position : position + unshared]
        position += unshared
        yield key, whole[position : position + length]
        position += length


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where what follows begins."""
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where what follows begins."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise CheckpointError("a number has no end")
