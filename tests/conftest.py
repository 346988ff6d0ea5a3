"""Fixtures shared by all tests."""

import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import fsspec
import hypothesis
import pytest
import torch

# The same examples in every run, on machines as slow as they come.
hypothesis.settings.register_profile("avcmr", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("avcmr")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail, and not be skipped, for a reason that ``$AVCMR_REQUIRE`` names.

    ``AVCMR_REQUIRE=chromium,promtool`` on a machine that is meant to have both.
    """
    report = yield
    required = filter(None, os.environ.get("AVCMR_REQUIRE", "").lower().split(","))
    if report.skipped and any(word in str(report.longrepr).lower() for word in required):
        report.outcome = "failed"
    return report


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
