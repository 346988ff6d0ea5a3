"""TFRecord files of tf.train.Example and SequenceExample, read without TensorFlow.

A file is a row of records: length (uint64), its checksum, the data and its checksum, checksums
being masked CRC-32C (Castagnoli), all little-endian. An Example's one field is a SequenceExample's
first, so both are read as the latter.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

from preprocessing.errors import SetupError

# The messages of tensorflow/core/example/{feature,example}.proto.
_SCHEMA = """
name: "avcmr/example.proto" package: "avcmr" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: "BytesList" }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: "FloatList" }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: "Int64List" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "Features.FeatureEntry" }
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: "Feature" } } }
message_type { name: "FeatureList"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "Feature" } }
message_type { name: "FeatureLists"
  field { name: "feature_list" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: "FeatureLists.FeatureListEntry" }
  nested_type { name: "FeatureListEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: "FeatureList" } } }
message_type { name: "SequenceExample"
  field { name: "context" number: 1 type: TYPE_MESSAGE type_name: "Features" }
  field { name: "feature_lists" number: 2 type: TYPE_MESSAGE type_name: "FeatureLists" } }
"""


def _message_class() -> Any:
    schema = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()  # of our own: TensorFlow's, if loaded, stays out of it
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("avcmr.SequenceExample"))


SequenceExample = _message_class()
"""``context.feature[name]`` and ``feature_lists.feature_list[name].feature[i]``, each with one of
``bytes_list``, ``float_list`` or ``int64_list``."""


def read_examples(path: Path) -> Iterator[Any]:
    """Yield the :data:`SequenceExample` of each record.

    Raises:
        SetupError: the file is cut short, a checksum is wrong, or a record is no example.
    """
    for number, data in enumerate(read_records(path)):
        try:
            yield SequenceExample.FromString(data)
        except DecodeError:
            raise SetupError(
                f"{path}: record {number} is no tf.train.Example; "
                "give files of the YouTube-8M download"
            ) from None


def read_records(path: Path) -> Iterator[bytes]:
    """Yield the data of each record, its checksums compared.

    Raises:
        SetupError: the file is cut short, or a checksum is wrong.
    """
    with path.open("rb") as file:
        number = 0
        while header := file.read(8):
            length = _checked(file, header, path, number)
            data = file.read(struct.unpack("<Q", length)[0])
            yield _checked(file, data, path, number)
            number += 1


def masked_crc(data: bytes) -> int:
    """CRC-32C of some bytes, rotated and offset as TFRecord files have it."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _checked(file: BinaryIO, data: bytes, path: Path, number: int) -> bytes:
    """The data, if the checksum that follows in the file is its own."""
    if file.read(4) != struct.pack("<I", masked_crc(data)):
        raise SetupError(
            f"{path}: record {number} is damaged or cut short (its CRC-32C does not match); "
            "download the file again"
        )
    return data
