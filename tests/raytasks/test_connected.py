"""Joining clusters that are not there, and with which token."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing.errors import SetupError
from raytasks.cluster import connected


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_said_at_once(address: str) -> None:
    refused = pytest.raises(SetupError, match=f"refused.*a Ray cluster runs at {address}")
    with refused, connected(address):
        pass


def test_nothing_is_decided_by_an_import() -> None:
    """Whether a cluster asks for a token is for the user to say, and else for Ray."""
    program = (
        "import os; before = dict(os.environ); import raytasks.cluster, raytasks.train;"
        "print({*os.environ.items()} ^ {*before.items()})"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "RAY_" not in printed


@pytest.mark.parametrize("named", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "HOME"])
def test_the_user_s_own_token_is_taken(named: str, tmp_path: Path) -> None:
    """From where Ray looks for it, in the order in which it does."""
    (tmp_path / ".ray").mkdir()
    file = tmp_path / ".ray" / "auth_token"
    file.write_text("of-the-user\n")
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment["HOME"] = str(tmp_path / "nobody")
    environment[named] = {
        "RAY_AUTH_TOKEN": "of-the-user",
        "RAY_AUTH_TOKEN_PATH": str(file),
        "HOME": str(tmp_path),
    }[named]
    program = "from raytasks.cluster import users_token; print(users_token())"
    printed = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert printed.strip() == "of-the-user"
