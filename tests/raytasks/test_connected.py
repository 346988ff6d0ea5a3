"""Starting Ray in unusual folders, joining clusters that are not there, and with which token."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import raytasks
from preprocessing.errors import SetupError
from raytasks.cluster import connected
from raytasks.startup import PACKAGES, short_folders


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


OURS = """
import json, os
import avcmr, preprocessing.errors, raytasks
import ray
from raytasks.cluster import connected

@ray.remote(num_cpus=0)
def files():
    import avcmr, preprocessing.errors, raytasks.cluster
    folder = os.environ["TMPDIR"]
    return [module.__file__ for module in (avcmr, preprocessing, raytasks)], folder

with connected():
    here = [module.__file__ for module in (avcmr, preprocessing, raytasks)]
    session = ray._private.worker._global_node.get_session_dir_path()
    print(json.dumps([here, ray.get(files.remote()), session]))
"""


KILLS_A_RAYLET = """
import os, signal, threading, time
from pathlib import Path
import ray
from raytasks.cluster import connected
from raytasks.processes import with_descendants

def kill_the_first_raylet():
    while True:
        for pid in with_descendants([os.getpid()]):
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(bytes(1))[0].endswith(b"/raylet"):
                os.kill(pid, signal.SIGKILL)
                print("killed", flush=True)
                return
        time.sleep(0.01)

threading.Thread(target=kill_the_first_raylet, daemon=True).start()
with connected() as cluster:
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_raylet_that_dies_while_it_starts_is_started_again() -> None:
    """It ends itself on a machine so busy that its agents need more than 15 seconds."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS_A_RAYLET], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "killed\n"), done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_long_tmpdir_and_files_named_like_our_packages(tmp_path: Path) -> None:
    """As batch systems set it; and the files are in the working folder, which Ray prefers."""
    for name in ("preprocessing", "raytasks"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not ours')")
    temporary = tmp_path / ("long" * 20)
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_TMPDIR"}
    done = subprocess.run(
        [sys.executable, "-c", OURS],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here, (in_a_worker, folder), session = json.loads(done.stdout.splitlines()[-1])
    ours = [str(Path(raytasks.__file__).parents[1] / name / "__init__.py") for name in PACKAGES]
    assert here == in_a_worker == ours
    assert folder == str(temporary)
    assert session.startswith(f"/tmp/avcmr-ray-{os.getuid()}/")


@pytest.mark.parametrize("name", ["preprocessing", "raytasks"])
@pytest.mark.parametrize("imported", [False, True])
def test_our_packages_win_in_the_driver(name: str, imported: bool, tmp_path: Path) -> None:
    """Also where the working folder comes first; else the file is named."""
    (tmp_path / f"{name}.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", f"import {f'{name}, ' * imported}avcmr, {name}.{MODULES[name]}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not imported), done.stderr
    if imported:
        assert f"{name}.py hides the package {name} of avcmr; rename that file" in done.stderr


MODULES = {"preprocessing": "errors", "raytasks": "monitoring"}


def test_only_long_folders_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "/scratch/" + "j" * 40
    monkeypatch.setenv("TMPDIR", long)
    monkeypatch.setenv("RAY_TMPDIR", "/scratch/job")
    with short_folders() as environment:
        assert environment == {"env_vars": {"TMPDIR": long}}
        assert os.environ["TMPDIR"] == f"/tmp/avcmr-ray-{os.getuid()}"
        assert os.environ["RAY_TMPDIR"] == "/scratch/job"
    assert os.environ["TMPDIR"] == long
    monkeypatch.delenv("TMPDIR")
    with short_folders() as environment:
        assert environment == {}
        assert "TMPDIR" not in os.environ
