"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest
import torch

# The same examples in every run, on machines as slow as they come.
hypothesis.settings.register_profile("avcmr", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("avcmr")


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


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Shells start background jobs with Ctrl-C ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
