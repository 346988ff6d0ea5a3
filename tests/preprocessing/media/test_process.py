"""Decoding where it may hang or crash."""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from preprocessing.errors import ClipError
from preprocessing.media import media_kind
from preprocessing.media.process import DecodingProcess


def test_results_come_back_and_deadlines_and_crashes_cost_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    decoding = DecodingProcess(10)
    try:
        assert decoding(path, partial(media_kind, path)) == "image"
        samples = np.arange(12, dtype=np.float32).reshape(3, 4)
        doubled = decoding(path, partial(np.multiply, samples, 2))
        np.testing.assert_array_equal(doubled, 2 * samples)
        absent = tmp_path / "absent"
        missing = decoding(absent, partial(media_kind, absent))
        assert isinstance(missing, ClipError) and missing.reason == "missing"
        late = decoding(path, partial(time.sleep, 60))
        assert isinstance(late, ClipError) and late.reason == "decode_timeout"
        crashed = decoding(path, partial(os._exit, 1))  # in a process that is new
        assert isinstance(crashed, ClipError) and crashed.reason == "decoder_crashed"
    finally:
        decoding.close()


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"", None),
    ],
)
def test_pictures_are_told_by_their_first_bytes(tmp_path: Path, head: bytes, kind: str) -> None:
    path = tmp_path / "nameless"
    path.write_bytes(head)
    if kind is None:
        with pytest.raises(ClipError):
            media_kind(path)
    else:
        assert media_kind(path) == kind
