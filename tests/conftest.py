"""Marks, and the fixtures that all tests share."""

import logging
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen

import fsspec
import h5py
import hypothesis
import numpy as np
import pytest
import torch
from filelock import FileLock


class WritePublished(Protocol):
    """Writes ``audio_SPLIT``, ``visual_SPLIT`` and ``lab_SPLIT`` to an HDF5 file.

    Classes are clusters that both modalities see, plus noise; rows are in turn of each class.
    """

    def __call__(
        self,
        path: Path,
        clips: Mapping[str, int],
        *,
        classes: int | Sequence[str] = 4,
        dims: tuple[int, int] = (16, 24),
        seconds: int = 0,
        noise: float = 1.0,
        ids: str = "",
    ) -> dict[str, np.ndarray]:
        """Write it; what was written, by name.

        Args:
            path: the file.
            clips: split → how many.
            classes: how many; or their names, for the attribute ``classes``.
            dims: of audio and visual rows.
            seconds: rows a clip, (N, T, D); 0: one, (N, D).
            noise: deviation from the clusters.
            ids: with what ``id_SPLIT`` begin; empty: without ids, as published.
        """


# The same examples in every run, on machines as slow as they come.
hypothesis.settings.register_profile("avcmr", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("avcmr")


TESTS = Path(__file__).parent

MARKS: dict[str, tuple[str, ...]] = {
    "avcmr/cli/test_train.py": ("slow",),
    "avcmr/comparison/baselines/test_all.py": ("slow",),
    "avcmr/comparison/test_study.py": ("slow",),
    "avcmr/web/test_page.py": ("browser", "slow"),
    "benchmarks": ("slow",),
    "end_to_end": ("ray", "slow"),
    "fuzz": ("ray", "slow"),
    "preprocessing/media/test_clock.py": ("slow",),
    "preprocessing/media/test_cuts.py": ("slow",),
    "preprocessing/media/test_decode.py": ("slow",),
    "preprocessing/media/test_frames_shown.py": ("slow",),
    "preprocessing/media/test_process.py": ("slow",),
    "preprocessing/media/test_tracks.py": ("slow",),
    "preprocessing/networks/test_extract_clip.py": ("slow",),
    "preprocessing/store/test_crashes.py": ("slow",),
    "raytasks/test_connected.py": ("slow",),
}
"""Folder or file → the marks of its tests."""

MARKS_OF_FIXTURES = {
    "cluster": "ray",
    "fresh_cluster": "ray",
    "nodes": "ray",
    "assets": "slow",
    "cuda": "gpu",
}
"""Fixture → the mark of each test that uses it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by where it is and what it uses, and begin with those that take long.

    So no worker waits in the end for one that is busy with them.
    """
    gone = [place for place in MARKS if not (TESTS / place).exists()]
    assert not gone, f"correct MARKS in tests/conftest.py: there is no {gone}"
    for item in items:
        places = {item.path, *item.path.parents}
        marks = {mark for place, some in MARKS.items() if TESTS / place in places for mark in some}
        fixtures = MARKS_OF_FIXTURES.keys() & {*getattr(item, "fixturenames", ())}
        for mark in sorted(marks | {MARKS_OF_FIXTURES[fixture] for fixture in fixtures}):
            item.add_marker(mark)
    items.sort(
        key=lambda item: {"slow", "ray"}.isdisjoint(mark.name for mark in item.iter_markers())
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail, and not be skipped, for a reason that ``$AVCMR_REQUIRE`` names.

    ``AVCMR_REQUIRE=chromium,promtool`` on a machine that is meant to have both.
    """
    report = yield
    required = filter(None, os.environ.get("AVCMR_REQUIRE", "").lower().split(","))
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and any(word in str(report.longrepr).lower() for word in required)
    ):
        report.outcome = "failed"
    return report


class Once(Protocol):
    """Makes what is large once for all workers of a test run."""

    def __call__(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of that name, filled by ``make``, here or by the worker that came first."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """See :class:`Once`. What it makes is for all to read, and for nobody to change."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = shared / f"once-{name}", shared / f"once-{name}.done"
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # another has failed in the midst of it
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """The first GPU; tests that use it are marked ``gpu``."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def assets() -> Path:
    """Real clips, features and reference values; they are not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "assets"
    folder = Path(os.environ.get("AVCMR_ASSETS", beside))
    if not folder.is_dir():
        pytest.skip(f"needs the assets folder: {folder} does not exist (set AVCMR_ASSETS)")
    return folder


@pytest.fixture(scope="session")
def write_published() -> WritePublished:
    """Writes features as the paper's authors publish theirs; see :class:`WritePublished`."""

    def write(
        path: Path,
        clips: Mapping[str, int],
        *,
        classes: int | Sequence[str] = 4,
        dims: tuple[int, int] = (16, 24),
        seconds: int = 0,
        noise: float = 1.0,
        ids: str = "",
    ) -> dict[str, np.ndarray]:
        draw = np.random.default_rng(0)
        names = [] if isinstance(classes, int) else list(classes)
        number = len(names) or int(classes)
        centres = [draw.normal(size=(number, dim)) for dim in dims]
        columns: dict[str, np.ndarray] = {}
        for split, count in clips.items():
            labels = np.arange(count) % number
            for modality, centre in zip(("audio", "visual"), centres, strict=True):
                values = centre[labels, None] + noise * draw.normal(
                    size=(count, seconds or 1, centre.shape[1])
                )
                rows = values if seconds else values[:, 0]
                columns[f"{modality}_{split}"] = rows.astype(np.float32)
            columns[f"lab_{split}"] = labels
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
            for split, count in clips.items() if ids else ():
                file[f"id_{split}"] = [f"{ids}-{split}-{row}" for row in range(count)]
            if names:
                file.attrs["classes"] = names
        return columns

    return write


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this machine had no extraction or training but those of the test."""
    monkeypatch.setenv("AVCMR_STATUS_DIR", str(tmp_path / "status"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """An S3 of moto's, with ``s3://bucket`` in it, which is empty."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("bucket")
    yield files
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    # What it holds belongs to the process, and outlives the server.
    urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Shells start background jobs with Ctrl-C ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
