"""Which activities are announced, by processes that may die in any way."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from raytasks.monitoring.status import Activity, announced, running

pytestmark = pytest.mark.usefixtures("alone")

PROGRAM = """
import sys
from raytasks.monitoring.status import Activity, announced
with announced(Activity("training", sys.argv[1], {})) as announce:
    announce({"epoch": 12, "loss": 0.123456})
    announce({"epoch": 3})
    print("inside", flush=True)
    sys.stdin.read()
"""


def start(name: str, **environment: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"inside\n"
    return process


def activities() -> list[Activity]:
    with running() as look:
        return sorted(look(), key=lambda activity: activity.name)


def test_an_activity_is_known_until_its_process_ends_or_is_killed(tmp_path: Path) -> None:
    ending = start("one")
    killed = start("two", TMPDIR=str(tmp_path / "elsewhere"))
    assert activities() == [Activity("training", name, {"epoch": 3}) for name in ("one", "two")]
    killed.kill()
    killed.communicate()
    assert [activity.name for activity in activities()] == ["one"]
    ending.communicate()
    assert activities() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("process", [1, 7, 4_194_304])
def test_any_process_id_will_do(process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container they are small."""
    monkeypatch.setattr(os, "getpid", lambda: process)
    with announced(Activity("extraction", "features.h5", {})):
        assert activities() == [Activity("extraction", "features.h5", {})]


def test_the_work_is_done_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("AVCMR_STATUS_DIR", str(tmp_path / "no folder"))
    with announced(Activity("training", "one", {})) as announce:
        announce({"epoch": 1})
        assert activities() == []


def test_the_folder_is_the_same_in_every_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch systems give each job a TMPDIR of its own."""
    from raytasks.monitoring import status

    monkeypatch.delenv("AVCMR_STATUS_DIR")
    folders = set()
    for folder in ("/tmp", "/scratch/job 1"):
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        folders.add(status._folder())
    assert len(folders) == 1
