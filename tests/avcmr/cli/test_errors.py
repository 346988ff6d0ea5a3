"""Errors are reported in a line or two, with exit code 2 and no traceback."""

import errno
import os

import pytest
from typer.testing import CliRunner

from avcmr.cli import app
from preprocessing.errors import ClipError, NotFoundError, SetupError, UsageError

ERRORS = {
    "UsageError": (UsageError("give one query"), "error: give one query\n"),
    "NotFoundError": (NotFoundError("no clip 'x'"), "error: no clip 'x'\n"),
    "SetupError": (SetupError("no weights here"), "error: no weights here\n"),
    "ClipError": (ClipError("empty", "a.wav: no bytes"), "error: a.wav: no bytes\n"),
    "OSError": (
        OSError(errno.EACCES, os.strerror(errno.EACCES), "index.h5"),
        "error: index.h5: Permission denied\n",
    ),
    "without a file": (OSError("truncated file"), "error: truncated file\n"),
    "without words": (ConnectionResetError(), "error: ConnectionResetError\n"),
}


@pytest.fixture(params=ERRORS.values(), ids=ERRORS.keys())
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every search fails; the line that should be printed."""
    error, line = request.param

    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", fail)
    return str(line)


def test_every_kind_of_error_is_one_line(failing: str) -> None:
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert (done.exit_code, done.stderr, done.stdout) == (2, failing, "")


@pytest.mark.parametrize("option", [True, False])
def test_debugging_shows_the_traceback_too(failing: str, option: bool) -> None:
    arguments = ["search", "run", "--id", "x"]
    done = CliRunner().invoke(
        app,
        ["--debug", *arguments] if option else arguments,
        env={} if option else {"AVCMR_DEBUG": "1"},
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert "in fail" in done.stderr and done.stderr.endswith(failing)


def test_an_interrupted_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avcmr.training.run_folder.RunFolder.config", interrupt)
    done = CliRunner().invoke(app, ["search", "run", "--id", "x"])
    assert done.exit_code == 130 and "the same command" in done.stderr
