"""Each check with faults put before it, and the command that runs them all."""

import json
import shutil
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from avcmr.cli import app, checks
from avcmr.cli.checks import Check, CheckError, Row, all_checks, libraries, machine, run
from avcmr.cli.checks.machine import GIB
from preprocessing.errors import ClipError

Patch = pytest.MonkeyPatch


def returning(value: Any) -> Any:
    return lambda *_, **__: value


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def assert_row(look: Any, status: str, *parts: str) -> None:
    row = run(Check("name", (), look))
    assert row.status == status, row
    assert (row.remedy == "") == (status == "ok"), row
    assert [part for part in parts if part not in f"{row.found} {row.remedy}"] == []
    assert "\n" not in row.found


def test_the_system(monkeypatch: Patch) -> None:
    assert_row(machine.system, "ok", ".".join(map(str, sys.version_info[:3])))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert_row(machine.system, "error", "use Linux")


class TestRoom:
    @pytest.mark.parametrize(
        ("gib", "status"), [(1.9, "error"), (2.1, "warning"), (3.9, "warning"), (4.1, "ok")]
    )
    def test_memory(self, monkeypatch: Patch, gib: float, status: str) -> None:
        free = returning(int(gib * GIB))
        monkeypatch.setattr("ray._private.utils.estimate_available_memory", free)
        assert_row(machine.memory, status, f"{gib} GiB free")

    @pytest.mark.parametrize(("gib", "status"), [(0.5, "error"), (3, "warning"), (9, "ok")])
    def test_disk(self, monkeypatch: Patch, tmp_path: Path, gib: float, status: str) -> None:
        usage = types.SimpleNamespace(free=int(gib * GIB))
        monkeypatch.setattr(shutil, "disk_usage", returning(usage))
        assert_row(lambda: machine.disk(tmp_path), status, str(tmp_path))

    def test_a_folder_that_cannot_be_written(self, monkeypatch: Patch, tmp_path: Path) -> None:
        monkeypatch.setattr(machine.os, "access", returning(False))
        assert_row(lambda: machine.disk(tmp_path), "error", "cannot be written")


LISTENER = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("script", "user"),
    [
        ("bin/avcmr", "a running avcmr (process "),
        ("ray/dashboard/dashboard.py", "another Ray (process "),
        ("notebook.py", "another program (process "),
    ],
)
def test_the_user_of_the_dashboard_s_port(
    monkeypatch: Patch, tmp_path: Path, script: str, user: str
) -> None:
    path = tmp_path / script
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LISTENER)
    command = [sys.executable, path, "extract", "--out", "f.h5"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as listening:
        assert listening.stdin
        assert listening.stdout
        port = int(listening.stdout.readline())
        monkeypatch.setattr(machine, "DASHBOARD_PORT", port)
        assert_row(machine.dashboard_port, "ok", f"{port} is used by {user}{listening.pid}")
        listening.stdin.close()
    assert_row(machine.dashboard_port, "ok", f"{port} is free")


@pytest.fixture
def server() -> Iterator[int]:
    """A port of this machine that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


class TestRay:
    def test_without_a_cluster(self, monkeypatch: Patch) -> None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        assert_row(libraries.ray, "ok", metadata.version("ray"))

    def test_a_cluster_that_answers_and_one_that_does_not(
        self, monkeypatch: Patch, server: int
    ) -> None:
        monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{server}")
        assert_row(libraries.ray, "ok", f"127.0.0.1:{server}")
        with socket.socket() as unheard:  # bound, so that nobody else takes it
            unheard.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unheard.getsockname()[1]}"
            monkeypatch.setenv("RAY_ADDRESS", address)
            assert_row(libraries.ray, "error", address, "unset RAY_ADDRESS")

    def test_a_ray_that_does_not_load(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(libraries, "import_module", raising(ImportError("no libray")))
        assert_row(libraries.ray, "error", "no libray", "pip install")


def test_torch_libraries_that_do_not_fit(monkeypatch: Patch) -> None:
    assert_row(libraries.torch_libraries, "ok", torch.__version__.partition("+")[0])
    fault = RuntimeError("operator torchvision::nms does not exist\nand more")
    monkeypatch.setattr(libraries, "import_module", raising(fault))
    wanted = ("operator torchvision::nms does not exist", "pip install --upgrade")
    assert_row(libraries.torch_libraries, "error", *wanted)


class TestGPU:
    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch: Patch, tmp_path: Path) -> None:
        monkeypatch.setattr(libraries, "NVIDIA_DRIVER", tmp_path / "version")
        monkeypatch.setattr(torch.version, "cuda", "12.6")
        monkeypatch.setattr(torch.cuda, "is_available", returning(False))

    def test_none(self) -> None:
        assert_row(libraries.gpu, "ok", "none")

    def test_a_driver_but_no_gpu(self, tmp_path: Path, monkeypatch: Patch) -> None:
        (tmp_path / "version").touch()
        wanted = ("CUDA_VISIBLE_DEVICES", "--gpus all", "update NVIDIA's driver")
        assert_row(libraries.gpu, "warning", "torch is built for 12.6", *wanted)
        monkeypatch.setattr(torch.version, "cuda", None)
        assert_row(libraries.gpu, "warning", "torch is built for the CPU only")

    def test_one_that_torch_is_not_built_for(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        monkeypatch.setattr(torch, "ones", raising(RuntimeError("no kernel image\nsee")))
        assert_row(libraries.gpu, "error", "does not compute (no kernel image)")

    def test_one_that_works(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        monkeypatch.setattr(torch.cuda, "device_count", returning(2))
        card = types.SimpleNamespace(name="NVIDIA T4", total_memory=16 * GIB)
        monkeypatch.setattr(torch.cuda, "get_device_properties", returning(card))
        monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))
        assert_row(libraries.gpu, "ok", "2 × NVIDIA T4, 16 GiB; torch is built for 12.6")


class TestDecoders:
    def test_here(self) -> None:
        assert_row(libraries.decoders, "ok", "pyav: works", "decord: works")

    def test_only_the_default_decoder_is_needed(self, monkeypatch: Patch) -> None:
        fault = ClipError("corrupt", "no H.264 in this build")
        monkeypatch.setattr("preprocessing.media.decode_sample", raising(fault))
        assert_row(libraries.decoders, "error", "no H.264 in this build", "pip install")
        faults = {"pyav": "", "decord": "no libdecord"}
        monkeypatch.setattr(libraries, "_fault_of", lambda name: faults.get(name, ""))
        assert_row(libraries.decoders, "ok", "pyav: works; decord: no libdecord")

    def test_decoding_on_a_gpu(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        faults = {"decord-gpu": "CUDA not enabled"}
        monkeypatch.setattr(libraries, "_fault_of", lambda name: faults.get(name, ""))
        assert_row(libraries.decoders, "ok", "torchcodec-cuda: works")
        faults["torchcodec-cuda"] = "no libnvcuvid"
        assert_row(libraries.decoders, "warning", "CUDA not enabled", "no libnvcuvid")


class TestWeights:
    URL = "https://example.invalid/vggish.pth"

    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.find", returning(None))
        monkeypatch.setattr("preprocessing.networks.weights.download_urls", returning([self.URL]))

    @pytest.mark.parametrize(("answers", "status"), [(True, "ok"), (False, "error")])
    def test_not_here(self, monkeypatch: Patch, answers: bool, status: str) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.answers", returning(answers))
        assert_row(lambda: libraries.weights_of("vggish", None), status, self.URL)


class TestWrongWeights:
    def test_a_wrong_file(self, tmp_path: Path) -> None:
        (tmp_path / "vggish-10086976.pth").write_bytes(b"another")
        wanted = ("vggish-10086976.pth is not the published", "remove it, or")
        assert_row(lambda: libraries.weights_of("vggish", tmp_path), "error", *wanted)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        wanted = ("nodir is not a folder", "name an existing one, or none")
        assert_row(lambda: libraries.weights_of("vggish", tmp_path / "nodir"), "error", *wanted)


def test_a_check_that_fails_itself() -> None:
    assert_row(raising(KeyError("x")), "error", "KeyError: 'x'")


class TestCommand:
    def _run(self, monkeypatch: Patch, status: str, *options: str) -> Any:
        fault = raising(CheckError("[found]", "fix it", status))
        look = returning("[found]") if status == "ok" else fault
        found = [Check("GPU", ("extract", "train"), look), Check("Ray", ("extract",), look)]
        monkeypatch.setattr(checks, "all_checks", returning(found))
        return CliRunner().invoke(app, ["doctor", *options])

    @pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("error", 2)])
    def test_exit_codes(self, monkeypatch: Patch, status: str, code: int) -> None:
        result = self._run(monkeypatch, status)
        assert result.exit_code == code
        assert f"{status:<8}GPU: [found]" in result.stdout
        assert ("→ fix it" in result.stdout) == (status != "ok")

    def test_it_says_which_commands_can_run(self, monkeypatch: Patch) -> None:
        told = self._run(monkeypatch, "error").stderr
        assert "can run: evaluate, search, search by file\n" in told
        assert "cannot run: extract, which needs GPU, Ray\n" in told
        assert "cannot run: train, which needs GPU\n" in told
        told = self._run(monkeypatch, "warning").stderr
        assert told == "can run: extract, train, evaluate, search, search by file\n"

    def test_json(self, monkeypatch: Patch) -> None:
        result = self._run(monkeypatch, "error", "--json")
        assert result.exit_code == 2
        found = json.loads(result.stdout)
        assert found["can_run"] == ["evaluate", "search", "search by file"]
        assert found["missing"]["train"] == ["GPU"]
        row = {"name": "GPU", "status": "error", "found": "[found]", "remedy": "fix it"}
        assert found["checks"][0] == row

    def test_every_check_ends(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.find", returning(None))
        monkeypatch.setattr("preprocessing.networks.weights.answers", returning(True))
        rows: list[Row] = [run(check) for check in all_checks()]
        assert [row for row in rows if "cannot be checked" in row.found] == []
