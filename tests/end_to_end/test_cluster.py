"""The ways to a Ray cluster that somebody else has started, each by the command line."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import AVCMR, eventually, values, write_good_clips

RAY = Path(sys.executable).with_name("ray")

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a cluster, which asks for a token."""

    folder: Path
    environment: dict[str, str]
    port: int
    client_port: int

    def run(self, *command: object) -> str:
        """What a command says to the end, with the user's token in the environment."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("0123456789abcdef" * 2)
    port, client_port, dashboard_port = free_port(), free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard_port}",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    options = (
        *(f"--port={port}", f"--ray-client-server-port={client_port}"),
        *(f"--dashboard-port={dashboard_port}", "--dashboard-host=127.0.0.1"),
        *("--num-cpus=2", f"--object-store-memory={100 << 20}", "--block"),
    )
    with (folder / "ray.log").open("wb") as log:
        ray = subprocess.Popen(
            [RAY, "start", "--head", *options],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            ports = (port, client_port, dashboard_port)
            eventually(lambda: all(map(answers, ports)), (folder / "ray.log").read_text())
            write_good_clips(folder / "raw", 8)
            yield Head(folder, environment, port, client_port)
        finally:
            os.killpg(ray.pid, signal.SIGKILL)  # asked to end, it takes half a minute
            ray.wait(60)


def test_all_ways_give_the_same_features(head: Head) -> None:
    videos = ("--videos", head.folder / "raw", "--untrained-audio", "--out")
    command = (AVCMR, "extract", *videos)
    head.run(*command, "direct.h5", "--address", f"127.0.0.1:{head.port}")
    head.run(*command, "client.h5", "--address", f"ray://127.0.0.1:{head.client_port}")
    submitted = head.run(RAY, "job", "submit", "--", *command, head.folder / "job.h5")
    assert "8 to do" in submitted
    found = []
    for way in ("direct", "client", "job"):
        with FeatureStore(head.folder / f"{way}.h5") as store:
            found.append(values(store))
    assert len(found[0]) == 8
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for clip, arrays in found[0].items():
            assert all((one == two).all() for one, two in zip(arrays, other[clip], strict=True))


def test_training_through_the_client(head: Head) -> None:
    """Of features that test_all_ways_give_the_same_features has made."""
    short = ("stage1.max_epochs=2", "stage2.max_epochs=1", "model.hidden=[16]", "batch_size=4")
    address = f"ray://127.0.0.1:{head.client_port}"
    said = head.run(AVCMR, "train", "--features", "direct.h5", "--address", address, *short)
    assert "best validation MAP" in said
    assert (head.folder / "runs" / "direct" / "metrics.jsonl").read_text().count("\n") == 3
