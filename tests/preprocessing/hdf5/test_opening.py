"""HDF5 files of unknown origin: what is refused, and in which words."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from preprocessing.errors import SetupError
from preprocessing.hdf5 import hdf5_errors, inspection, open_hdf5

ZSTD = 32015
"""No package of the tests has this filter."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "private.h5", "w") as file:
        file["secret"] = np.arange(6.0)
    return tmp_path / "file.h5"


def external_link(file: h5py.File) -> None:
    file["audio"] = h5py.ExternalLink("private.h5", "/secret")


def soft_link(file: h5py.File) -> None:
    file["far"] = h5py.ExternalLink("private.h5", "/")
    file["a/audio"] = h5py.SoftLink("/far/secret")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource("private.h5", "secret", (6,))
    file.create_virtual_dataset("a/audio", layout)


def external_storage(file: h5py.File) -> None:
    file.create_dataset("audio", (6,), "f8", external=[("private.h5", 0, 48)])


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (external_link, r"its link /audio leads to private.h5:/secret"),
        (soft_link, r"its link /a/audio leads to /far/secret"),
        (virtual, r"its data set /a/audio lies in private.h5"),
        (external_storage, r"its data set /audio lies in private.h5"),
    ],
)
def test_data_in_other_files_are_refused(
    path: Path, write: Callable[[h5py.File], None], named: str
) -> None:
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(SetupError, match=rf"file.h5: {named}, and only what lies in the file"):
        open_hdf5(path)


def write_chunk(path: Path, *, compressed: bool) -> None:
    """A data set with an optional filter that is missing here, applied to its chunk or not."""
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((6,))
        plan.set_filter(ZSTD, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple((6,))
        dataset = h5py.h5d.create(file.id, b"audio", h5py.h5t.NATIVE_DOUBLE, space, plan)
        dataset.write_direct_chunk((0,), np.arange(6.0).tobytes(), 0 if compressed else 1)


@pytest.mark.skipif(h5py.h5z.filter_avail(ZSTD), reason="the filter is there")
def test_a_missing_filter_is_named_where_it_is_needed(path: Path) -> None:
    write_chunk(path, compressed=True)
    with pytest.raises(SetupError, match=r"/audio .* missing here \(zstd\); pip install hdf5plu"):
        open_hdf5(path)
    write_chunk(path, compressed=False)
    with open_hdf5(path) as file:
        assert file["audio"][()].tolist() == list(range(6))


@pytest.fixture
def writing(path: Path) -> Iterator[int]:
    """A process that has the file open for writing."""
    hold = f"import h5py; file = h5py.File({str(path)!r}, 'w'); print('open', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        yield process.pid
        process.kill()


def test_a_file_that_is_being_written_is_locked(path: Path, writing: int) -> None:
    with pytest.raises(SetupError, match=rf"locked, process {writing} has it open for writing"):
        open_hdf5(path)


def test_a_file_left_open_by_a_killed_writer(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.flush()
        left = path.with_name("left.h5")
        shutil.copy(path, left)
    with pytest.raises(SetupError, match=r"left.h5: is locked, a program has left it open.*h5cl"):
        open_hdf5(left)


def test_more_data_than_the_file_can_hold_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("audio", (1 << 40,), "f8", chunks=(1024,))
    with pytest.raises(SetupError, match=r"is damaged: /audio claims 8,796,093,022,208 bytes"):
        open_hdf5(path)


def test_a_group_that_contains_itself_comes_to_an_end(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a/b"] = np.arange(3)
        file["a/again"] = file["a"]
    with open_hdf5(path) as file:
        assert file["a/again/again/b"][()].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "import signal; input(); signal.setitimer(signal.ITIMER_PROF, .1)\nwhile True: pass",
            "HDF5 does not come to an end with it",
        ),
        ("import os; input(); os.kill(os.getpid(), 11)", "HDF5 crashes on it, SIGSEGV"),
        ("", "exit code 0"),
    ],
)
def test_an_inspection_that_hangs_or_crashes_is_given_up(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    shutil.copy(tmp_path / "private.h5", path)
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(inspection, "_inspector", inspection._Inspector())
    with monkeypatch.context() as broken:
        broken.setattr(inspection.structure, "__file__", str(tmp_path / "script.py"))
        with pytest.raises(SetupError, match=rf"file.h5: is damaged: {reason}; fetch it again"):
            open_hdf5(path)
    os.utime(path, ns=(1, 1))  # another version of the file; the next process is a sound one
    open_hdf5(path).close()


def test_a_file_is_inspected_once(path: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copy(tmp_path / "private.h5", path)
    open_hdf5(path).close()
    monkeypatch.setattr(inspection._Inspector, "ask", None)
    started = time.perf_counter()
    open_hdf5(path).close()
    assert time.perf_counter() - started < 0.3


def test_what_goes_wrong_while_reading_is_one_error(path: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "private.h5", path)
    with (
        pytest.raises(SetupError, match=r"file.h5: is damaged: .*absent.*doesn't exist"),
        hdf5_errors(path),
        open_hdf5(path) as file,
    ):
        file["absent"]
    with pytest.raises(SetupError, match=r"cannot read .*none.h5: No such file"):
        open_hdf5(tmp_path / "none.h5")
