"""A disk that is full or broken: the error says what to do, and nothing is lost."""

import errno
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocessing.clips import Clip
from preprocessing.errors import SetupError


@pytest.mark.parametrize("room", [0, 3_000, 9_000, 12_000])
def test_full_disk(kit: SimpleNamespace, path: Path, clips: list[Clip], room: int) -> None:
    """A limit on the size of files stands in for a full disk: writes fail in the same way."""
    kit.extract(path, clips[:4])
    store = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(
            SetupError, match=r"no room left to write .*features.*; free some space"
        ):
            kit.extract(path, clips)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == store
    kit.extract(path, clips)
    kit.check_complete(path, clips)


@pytest.mark.parametrize("operation", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "no room left to write .*features.h5.*; free some space"),
        (errno.EACCES, "not allowed to write .*features.h5.*; change its permissions"),
        (errno.EIO, r"cannot write .*features.h5.* \(.*error\); check the disk"),
    ],
    ids=["ENOSPC", "EACCES", "EIO"],
)
def test_disk_errors(
    kit: SimpleNamespace,
    path: Path,
    clips: list[Clip],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: int,
    remedy: str,
) -> None:
    def broken(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    kit.extract(path, clips, finish=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, broken)
        with pytest.raises(SetupError, match=remedy):
            kit.extract(path, clips)
    assert not path.exists()
    kit.extract(path, clips)
    kit.check_complete(path, clips)
