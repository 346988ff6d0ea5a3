"""FFmpeg's own program, with which odd files are made and decoded."""

import shutil
import subprocess
from typing import Protocol

import pytest


class FFmpeg(Protocol):
    """Runs ``ffmpeg`` with some arguments; what it writes to its standard output."""

    def __call__(self, *arguments: object) -> bytes: ...


@pytest.fixture(scope="session")
def ffmpeg() -> FFmpeg:
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg, the program")

    def run(*arguments: object) -> bytes:
        command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    return run
