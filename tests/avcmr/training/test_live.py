"""Which trainings are under way, told by processes that may die in any way."""

import subprocess
import sys
from pathlib import Path

import pytest

from avcmr.training.run_folder import announced, trainings

pytestmark = pytest.mark.usefixtures("alone")

PROGRAM = """
import pathlib, sys
from avcmr.training.run_folder import announced
with announced(pathlib.Path(sys.argv[1])):
    print("inside", flush=True)
    sys.stdin.read()
"""


def start(run: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, run], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"inside\n"
    return process


def test_a_run_is_known_until_its_process_ends_or_is_killed(tmp_path: Path) -> None:
    runs = {tmp_path / "one", tmp_path / "two"}
    ending, killed = map(start, sorted(runs))
    assert set(trainings()) == runs
    killed.kill()
    killed.communicate()
    assert trainings() == [tmp_path / "one"]
    ending.communicate()
    assert trainings() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_run_is_trained_where_no_file_can_be_written(tmp_path: Path) -> None:
    with announced(tmp_path / "one"):
        (folder,) = tmp_path.iterdir()
    folder.rmdir()
    folder.write_text("no folder")
    with announced(tmp_path / "one"):
        assert trainings() == []
