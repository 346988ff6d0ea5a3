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
from tests.end_to_end.conftest import AVCMR, values, write_good_clips
from tests.patience import PATIENCE, eventually

RAY = Path(sys.executable).with_name("ray")

SHORT = ("stage1.max_epochs=2", "stage2.max_epochs=1", "model.hidden=[16]", "batch_size=4")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a cluster, and a folder to work in."""

    folder: Path
    environment: dict[str, str]
    port: int
    client_port: int
    dashboard_port: int

    def run(self, *command: object) -> str:
        """What a command says to the end, in the environment that the head was started in."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["open", "token"])
def head(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Head]:
    """As ``ray start --head`` starts it by itself, or one that asks for a token."""
    folder = tmp_path_factory.mktemp("cluster")
    port, client_port, dashboard_port = free_port(), free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard_port}",
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    if request.param == "token":
        environment["RAY_AUTH_MODE"] = "token"
        (folder / ".ray").mkdir()
        (folder / ".ray" / "auth_token").write_text("0123456789abcdef" * 2)
    options = (
        *(f"--port={port}", f"--ray-client-server-port={client_port}"),
        *(f"--dashboard-port={dashboard_port}", "--dashboard-host=127.0.0.1"),
        f"--dashboard-agent-listen-port={free_port()}",  # others may have the usual one
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
            yield Head(folder, environment, port, client_port, dashboard_port)
        finally:
            os.killpg(ray.pid, signal.SIGKILL)  # asked to end, it takes half a minute
            ray.wait(PATIENCE)


@pytest.mark.parametrize(
    ("head", "ways"),
    [("open", ["direct"]), ("token", ["direct", "client", "job"])],
    indirect=["head"],
    scope="module",  # one head after the other
    ids=["open", "token"],
)
def test_all_ways_give_the_same_features(head: Head, ways: list[str]) -> None:
    command = (AVCMR, "extract", "--videos", head.folder / "raw", "--untrained-audio", "--out")
    commands = {
        "direct": (*command, "direct.h5", "--address", f"127.0.0.1:{head.port}"),
        "client": (*command, "client.h5", "--address", f"ray://127.0.0.1:{head.client_port}"),
        "job": (RAY, "job", "submit", "--", *command, head.folder / "job.h5"),
    }
    found = []
    for way in ways:
        said = head.run(*commands[way])
        assert "8 to do" in said
        assert f"dashboard http://127.0.0.1:{head.dashboard_port}\n" in said
        with FeatureStore(head.folder / f"{way}.h5") as store:
            found.append(values(store))
    assert len(found[0]) == 8
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for clip, arrays in found[0].items():
            assert all((one == two).all() for one, two in zip(arrays, other[clip], strict=True))


@pytest.mark.parametrize(
    ("head", "way"),
    [("open", "job"), ("token", "client")],
    indirect=["head"],
    scope="module",  # one head after the other
    ids=["open", "token"],
)
def test_training(head: Head, way: str) -> None:
    """Of features that test_all_ways_give_the_same_features has made."""
    command = (AVCMR, "train", "--features", head.folder / "direct.h5", *SHORT, "--runs")
    runs = head.folder / "runs"
    if way == "job":
        said = head.run(RAY, "job", "submit", "--", *command, runs)
    else:
        said = head.run(*command, runs, "--address", f"ray://127.0.0.1:{head.client_port}")
    assert "best validation MAP" in said
    assert (runs / "direct" / "metrics.jsonl").read_text().count("\n") == 3
