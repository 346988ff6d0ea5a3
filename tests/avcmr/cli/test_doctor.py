"""Each check on faults put before it, and the command that runs them all."""

import json
import shutil
import socket
import sys
import types
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from avcmr.cli import app, checks
from avcmr.cli.checks import Row, all_checks, decoders, gpu, machine, run, services
from avcmr.cli.checks.machine import GIB
from preprocessing.errors import ClipError

Patch = pytest.MonkeyPatch


def returning(value: Any) -> Any:
    return lambda *_, **__: value


def raising(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def assert_row(row: Row, status: str, *parts: str) -> None:
    assert row.status == status
    assert (row.remedy == "") == (status == "ok"), row
    assert [part for part in parts if part not in f"{row.found} {row.remedy}"] == []


class TestPython:
    def test_here(self) -> None:
        assert machine.python().found.startswith(".".join(map(str, sys.version_info[:3])))

    def test_another_system(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert_row(machine.python(), "error", "use Linux")

    def test_newer_than_tested(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(machine, "NEWEST_PYTHON", (3, 10))
        assert_row(machine.python(), "warning", "not tested yet", "3.10")


class TestPackages:
    def test_old_missing_and_optional_ones(self, monkeypatch: Patch) -> None:
        required = ["numpy>=99", "no-such-package>=1", 'no-such-extra; extra == "test"', "h5py>=1"]
        monkeypatch.setattr(metadata, "requires", returning(required))
        row = machine.packages()
        assert_row(row, "error", "pip install 'numpy>=99' 'no-such-package>=1'")
        assert "extra" not in row.found
        assert "h5py" not in row.found

    def test_all_there(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(metadata, "requires", returning(["numpy>=1", "h5py"]))
        assert_row(machine.packages(), "ok", "all 2")


class TestRoom:
    @pytest.mark.parametrize(
        ("gib", "status"), [(1.9, "error"), (2.1, "warning"), (3.9, "warning"), (4.1, "ok")]
    )
    def test_memory(self, monkeypatch: Patch, gib: float, status: str) -> None:
        monkeypatch.setattr(machine, "available_memory", returning(int(gib * GIB)))
        assert_row(machine.memory(), status, f"{gib} GiB free")

    @pytest.mark.parametrize(
        ("version", "limit", "free"),
        [
            (2, "3000\n", 2000),
            (2, "max\n", 7 * 1024),
            (1, "3000\n", 2000),
            (1, "9223372036854771712\n", 7 * 1024),  # how version 1 says that there is none
        ],
    )
    def test_a_container_s_limit(
        self, monkeypatch: Patch, version: int, limit: str, free: int
    ) -> None:
        files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    7 kB\nHugePages_Free: 0\n"}
        group = "/sys/fs/cgroup/memory"
        names = ("limit_in_bytes", "usage_in_bytes") if version == 1 else ("max", "current")
        where = f"{group}/memory" if version == 1 else group
        for name, content in zip(names, (limit, "1000\n"), strict=True):
            files[f"{where}.{name}"] = content

        def read(path: Path) -> str:
            if str(path) not in files:
                raise FileNotFoundError(path)
            return files[str(path)]

        monkeypatch.setattr(Path, "read_text", read)
        assert machine.available_memory() == free

    def test_shared_memory(self, monkeypatch: Patch) -> None:
        for free, status in ((64 << 20, "warning"), (1 << 30, "ok")):
            monkeypatch.setattr(shutil, "disk_usage", returning(types.SimpleNamespace(free=free)))
            assert_row(machine.shared_memory(), status)
        monkeypatch.setattr(shutil, "disk_usage", raising(FileNotFoundError()))
        assert_row(machine.shared_memory(), "warning", "no /dev/shm", "--shm-size")

    @pytest.mark.parametrize(("gib", "status"), [(0.5, "error"), (3, "warning"), (9, "ok")])
    def test_disk(self, monkeypatch: Patch, tmp_path: Path, gib: float, status: str) -> None:
        usage = types.SimpleNamespace(free=int(gib * GIB))
        monkeypatch.setattr(shutil, "disk_usage", returning(usage))
        assert_row(machine.disk("disk", tmp_path), status, str(tmp_path))

    def test_a_folder_that_cannot_be_written(self, monkeypatch: Patch, tmp_path: Path) -> None:
        monkeypatch.setattr(machine.os, "access", returning(False))
        assert_row(machine.disk("disk", tmp_path), "error", "cannot be written")


@pytest.fixture
def server() -> Iterator[int]:
    """A port of this machine that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_dashboard_port_that_is_taken(monkeypatch: Patch, server: int) -> None:
    monkeypatch.setattr(machine, "DASHBOARD_PORT", server)
    assert_row(machine.dashboard_port(), "warning", f"{server} is taken")


class TestRay:
    def test_without_a_cluster(self, monkeypatch: Patch) -> None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        assert_row(services.ray(), "ok", metadata.version("ray"))

    def test_a_cluster_that_answers_and_one_that_does_not(
        self, monkeypatch: Patch, server: int
    ) -> None:
        monkeypatch.setenv("RAY_ADDRESS", f"ray://127.0.0.1:{server}")
        assert_row(services.ray(), "ok", f"127.0.0.1:{server}")
        with socket.socket() as unheard:  # bound, so that nobody else takes it
            unheard.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unheard.getsockname()[1]}"
            monkeypatch.setenv("RAY_ADDRESS", address)
            assert_row(services.ray(), "error", address, "unset RAY_ADDRESS")

    def test_a_ray_that_does_not_load(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(services, "import_module", raising(ImportError("no libray")))
        assert_row(services.ray(), "error", "no libray", "pip install")


def test_torch_libraries_that_do_not_fit(monkeypatch: Patch) -> None:
    assert_row(gpu.torch_libraries(), "ok", torch.__version__.partition("+")[0])
    fault = RuntimeError("operator torchvision::nms does not exist\nand more")
    monkeypatch.setattr(gpu, "import_module", raising(fault))
    row = gpu.torch_libraries()
    assert_row(row, "error", "operator torchvision::nms does not exist", "pip install --upgrade")
    assert "\n" not in row.found


class TestGPU:
    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(gpu, "driver_cuda", returning((12, 4)))
        monkeypatch.setattr(torch.version, "cuda", "12.6")
        monkeypatch.setattr(torch.cuda, "is_available", returning(False))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def test_none(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(gpu, "driver_cuda", returning(None))
        monkeypatch.setattr(gpu, "nvidia_cards", returning(False))
        assert_row(gpu.gpu(), "ok", "none")

    def test_a_card_without_a_driver(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(gpu, "driver_cuda", returning(None))
        monkeypatch.setattr(gpu, "nvidia_cards", returning(True))
        assert_row(gpu.gpu(), "warning", "no driver", "--gpus all")

    def test_a_torch_without_cuda(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.version, "cuda", None)
        assert_row(gpu.gpu(), "warning", "CUDA 12.4", "the CPU only", "pip install --upgrade")

    def test_an_old_driver(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        assert_row(gpu.gpu(), "warning", "too old", "CUDA 12.4", "13.0", "update NVIDIA's")

    def test_hidden_ones(self, monkeypatch: Patch) -> None:
        assert_row(gpu.gpu(), "warning", "torch sees none", "nvidia-smi")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        assert_row(gpu.gpu(), "warning", "unset CUDA_VISIBLE_DEVICES, which is ''")

    def test_one_that_torch_is_not_built_for(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        monkeypatch.setattr(torch, "ones", raising(RuntimeError("no kernel image\nsee")))
        assert_row(gpu.gpu(), "error", "does not compute (no kernel image)")

    def test_one_that_works(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        monkeypatch.setattr(torch.cuda, "device_count", returning(2))
        card = types.SimpleNamespace(name="NVIDIA T4", total_memory=16 * GIB)
        monkeypatch.setattr(torch.cuda, "get_device_properties", returning(card))
        monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))
        assert_row(gpu.gpu(), "ok", "2 × NVIDIA T4, 16 GiB; driver for CUDA 12.4, torch for 12")


class TestDecoders:
    def test_here(self) -> None:
        assert_row(decoders.pyav(), "ok", metadata.version("av"), "libavcodec")
        assert_row(decoders.decord(), "ok", metadata.version("decord"), "built for")

    @pytest.mark.parametrize(
        ("check", "status"), [("pyav", "error"), ("decord", "warning"), ("torchcodec", "warning")]
    )
    def test_a_decoder_that_cannot_decode(
        self, monkeypatch: Patch, check: str, status: str
    ) -> None:
        """Only the default decoder stops the main job."""
        pytest.importorskip(f"preprocessing.media.{check}", exc_type=ImportError)
        fault = ClipError("corrupt", "no H.264 in this build")
        monkeypatch.setattr("preprocessing.media.decode_sample", raising(fault))
        assert_row(getattr(decoders, check)(), status, "no H.264 in this build")

    def test_torchcodec_without_ffmpeg(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(decoders.ctypes.util, "find_library", returning(None))
        monkeypatch.setattr(decoders, "_fault_of", returning("torchcodec cannot be loaded"))
        monkeypatch.setattr(metadata, "version", returning("0.13"))
        assert_row(
            decoders.torchcodec(), "warning", "no FFmpeg libraries", "apt-get install ffmpeg"
        )

    def test_torchcodec_is_optional(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(metadata, "version", raising(metadata.PackageNotFoundError()))
        assert_row(decoders.torchcodec(), "ok", "not installed")

    def test_the_build_of_decord(self, monkeypatch: Patch, tmp_path: Path) -> None:
        spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(decoders.util, "find_spec", returning(spec))
        library = tmp_path / "libdecord.so"
        for content, cuda in ((b"... CUDA not enabled. ...", False), (b"NEEDED libcuda", True)):
            library.write_bytes(content)
            assert decoders.decord_has_cuda() == cuda

    def test_decoding_on_a_gpu(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", returning(True))
        faults = {"decord-gpu": "CUDA not enabled", "torchcodec-cuda": ""}
        monkeypatch.setattr(decoders, "_fault_of", faults.get)
        assert_row(decoders.nvdec(), "ok", "by torchcodec-cuda")
        faults["torchcodec-cuda"] = "no libnvcuvid"
        assert_row(decoders.nvdec(), "warning", "CUDA not enabled", "no libnvcuvid")


class TestWeights:
    URL = "https://example.invalid/vggish.pth"

    @pytest.fixture(autouse=True)
    def _nowhere(self, monkeypatch: Patch) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.find", returning(None))
        monkeypatch.setattr("preprocessing.networks.weights.download_urls", returning([self.URL]))

    @pytest.mark.parametrize(("answers", "status"), [(True, "ok"), (False, "error")])
    def test_not_here(self, monkeypatch: Patch, answers: bool, status: str) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.answers", returning(answers))
        assert_row(services.weights_of("vggish", None), status, self.URL)


class TestWrongWeights:
    def test_a_wrong_file(self, tmp_path: Path) -> None:
        (tmp_path / "vggish-10086976.pth").write_bytes(b"another")
        row = services.weights_of("vggish", tmp_path)
        assert_row(row, "error", "vggish-10086976.pth is not the published", "take it away, or")

    def test_a_file_that_was_not_converted(self, tmp_path: Path) -> None:
        (tmp_path / "vggish.safetensors").write_bytes(b"another")
        row = services.weights_of("vggish", tmp_path)
        assert_row(row, "error", "not a file that avcmr has", "avcmr weights convert vggish")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        row = services.weights_of("vggish", tmp_path / "nodir")
        assert_row(row, "error", "nodir is not a folder", "name one that is there, or none")


def test_a_check_that_fails_itself_ends_no_other() -> None:
    rows = list(run({"first": raising(KeyError("x")), "second": partial(Row, "second", "ok", "")}))
    assert_row(rows[0], "error", "KeyError", "x")
    assert rows[1] == Row("second", "ok", "")


class TestCommand:
    def _run(self, monkeypatch: Patch, status: str, *options: str) -> Any:
        row = Row("GPU", status, "[found]", "" if status == "ok" else "mend it")
        monkeypatch.setattr(checks, "all_checks", returning({"GPU": lambda: row}))
        return CliRunner().invoke(app, ["doctor", *options])

    @pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("error", 2)])
    def test_exit_codes(self, monkeypatch: Patch, status: str, code: int) -> None:
        result = self._run(monkeypatch, status)
        assert result.exit_code == code
        assert f"{status:<8}GPU: [found]" in result.stdout
        assert ("→ mend it" in result.stdout) == (status != "ok")

    def test_json(self, monkeypatch: Patch) -> None:
        result = self._run(monkeypatch, "error", "--json")
        assert result.exit_code == 2
        assert json.loads(result.stdout) == {
            "ok": False,
            "checks": [{"name": "GPU", "status": "error", "found": "[found]", "remedy": "mend it"}],
        }

    def test_every_check_ends_and_its_row_has_the_name_it_is_listed_by(
        self, monkeypatch: Patch
    ) -> None:
        monkeypatch.setattr("preprocessing.networks.weights.find", returning(None))
        monkeypatch.setattr("preprocessing.networks.weights.answers", returning(True))
        listed = all_checks()
        rows = list(run(listed))
        assert [row.name for row in rows] == list(listed)
        assert [row for row in rows if "cannot be checked" in row.found] == []
