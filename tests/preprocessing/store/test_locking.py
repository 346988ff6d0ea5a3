"""One writer at a time."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from preprocessing.clips import Clip
from preprocessing.errors import SetupError

StartWriter = Callable[[str], "subprocess.Popen[str]"]


def test_second_writer_is_refused(
    kit: SimpleNamespace, path: Path, clips: list[Clip], start_writer: StartWriter
) -> None:
    first = start_writer("never")
    assert first.stdout is not None
    assert first.stdout.readline() == "writing\n"
    with pytest.raises(SetupError, match=rf"is being written by process {first.pid} on "):
        kit.extract(path, clips)
    first.kill()
    first.wait()
    kit.extract(path, clips)
    kit.check_complete(path, clips)
