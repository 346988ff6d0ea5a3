"""What the main job needs of a machine, each looked at by one small function.

The main job is ``avcmr extract``, ``train`` and ``evaluate`` with their defaults. A check returns
a row: ok, a warning (the job runs, but slower, or without an option), or an error (it cannot run).
"""

import ctypes
import ctypes.util
import os
import platform
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement

from preprocessing.errors import ClipError, SetupError

if TYPE_CHECKING:
    from preprocessing.weights import WeightsName

Status = Literal["ok", "warning", "error"]

GIB = 1 << 30

NEWEST_PYTHON = (3, 13)

LEAST_MEMORY = 2 * GIB
"""Ray's own processes and one with both networks; measured peaks are 2.2 to 2.8 GB."""

AMPLE_MEMORY = 4 * GIB

LEAST_DISK = 1 * GIB

AMPLE_DISK = 5 * GIB
"""Features of 28,000 clips of ten seconds take about 3 GiB, twice while they are merged."""

DASHBOARD_PORT = 8265

PATIENCE = 3.0
"""Seconds to wait for an answer of another machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one check has found.

    Attributes:
        name: what was looked at.
        status: ``error`` where the main job cannot run.
        found: in one line.
        remedy: what to do about it; empty where nothing has to be done.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


def all_checks(weights: Path | None = None) -> dict[str, Callable[[], Row]]:
    """Every check by its row's name, cheap ones first.

    Args:
        weights: the user's folder of weights, as ``--weights`` of ``avcmr extract``.
    """
    names: tuple[WeightsName, ...] = ("inception_v3_2015", "vggish", "vggish_pca")
    checks: dict[str, Callable[[], Row]] = {
        "Python": python,
        "packages": packages,
        "memory": memory,
        "shared memory": shared_memory,
        "disk": partial(disk, "disk", Path.cwd),
        "temporary files": partial(disk, "temporary files", lambda: Path(tempfile.gettempdir())),
        "dashboard port": dashboard_port,
        "torch": torch_libraries,
        "GPU": gpu,
        "PyAV": pyav,
        "decord": decord,
        "torchcodec": torchcodec,
        "decoding on GPU": nvdec,
        "Ray": ray,
    }
    return checks | {f"weights {name}": partial(weights_of, name, weights) for name in names}


def run(checks: dict[str, Callable[[], Row]]) -> Iterator[Row]:
    """Yield each check's row; a check that fails itself is an error too, and ends no other."""
    for name, check in checks.items():
        try:
            yield check()
        except Exception as error:
            reason = " ".join(str(error).split())
            yield Row(
                name,
                "error",
                f"cannot be checked ({type(error).__name__}: {reason})",
                "mend what is wrong above first; if nothing is, install avcmr anew",
            )


def python() -> Row:
    """A Python that avcmr is tested with (pip refuses older ones), on Linux."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        remedy = "use Linux, its subsystem on Windows (WSL 2), or a container"
        return Row("Python", "error", found, remedy)
    if sys.version_info[:2] > NEWEST_PYTHON:
        remedy = f"not tested yet; if it fails, take {'.'.join(map(str, NEWEST_PYTHON))}"
        return Row("Python", "warning", found, remedy)
    return Row("Python", "ok", found)


def packages() -> Row:
    """What avcmr requires is installed, in versions that it can use."""
    try:
        required = [Requirement(line) for line in metadata.requires("avcmr") or ()]
    except metadata.PackageNotFoundError:
        return Row("packages", "warning", "avcmr itself is not installed", "pip install .")
    needed = [one for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    missing = [f"{one.name}{one.specifier}" for one in needed if not _satisfied(one)]
    if missing:
        remedy = f"pip install {' '.join(repr(one) for one in missing)}"
        return Row("packages", "error", f"missing or too old: {', '.join(missing)}", remedy)
    return Row("packages", "ok", f"all {len(needed)} are there")


def _satisfied(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def memory() -> Row:
    """Room for Ray and for at least one process with both networks."""
    free = available_memory()
    found = f"{free / GIB:.1f} GiB free, {os.cpu_count()} cores"
    if free < LEAST_MEMORY:
        remedy = f"end other programs, or give the container {AMPLE_MEMORY / GIB:.0f} GiB"
        return Row("memory", "error", found, remedy)
    if free < AMPLE_MEMORY:
        remedy = "works, with few processes; end other programs if clips fail as out_of_memory"
        return Row("memory", "warning", found, remedy)
    return Row("memory", "ok", found)


def available_memory() -> int:
    """Bytes that programs can still have: the machine's, or the container's if that is less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {key: int(value.split()[0]) for key, value in (line.split(":") for line in lines)}
    free = kib["MemAvailable"] * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / "memory.max").read_text(), (group / "memory.current").read_text()
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free


def shared_memory() -> Row:
    """Room in /dev/shm for Ray's object store."""
    from raytasks.cluster import OBJECT_STORE_BYTES  # noqa: PLC0415

    remedy = "in a container: docker run --shm-size=1g; Ray falls back on slow temporary files"
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Row("shared memory", "warning", "there is no /dev/shm", remedy)
    found = f"{free / GIB:.1f} GiB free in /dev/shm"
    if free < OBJECT_STORE_BYTES:
        return Row("shared memory", "warning", found, remedy)
    return Row("shared memory", "ok", found)


def disk(name: str, folder: Callable[[], Path]) -> Row:
    """Room in a folder, and the right to write there."""
    path = folder()
    if not os.access(path, os.W_OK):
        return Row(name, "error", f"{path} cannot be written", "work in a folder of your own")
    usage = shutil.disk_usage(path)
    found = f"{usage.free / GIB:.1f} GiB free in {path}"
    if usage.free < LEAST_DISK:
        return Row(name, "error", found, "free some space, or work on another disk")
    if usage.free < AMPLE_DISK:
        return Row(name, "warning", found, "enough for small sets; free some space for large ones")
    return Row(name, "ok", found)


def dashboard_port() -> Row:
    """Whether Ray's dashboard can have its usual port."""
    name, port = "dashboard port", DASHBOARD_PORT
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            remedy = "the dashboard takes another, which is printed; a forgotten Ray: ray stop"
            return Row(name, "warning", f"{port} is taken", remedy)
    return Row(name, "ok", f"{port} is free")


def torch_libraries() -> Row:
    """torch, torchvision and torchaudio load and fit each other."""
    names = ("torch", "torchvision", "torchaudio")
    found = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    try:
        for name in names:
            import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = "install the three together: pip install --upgrade torch torchvision torchaudio"
        return Row("torch", "error", f"{found}: they do not load together ({reason})", remedy)
    return Row("torch", "ok", found)


def gpu() -> Row:
    """A GPU, its driver, and a torch that is built for it; the CPU does where there is none."""
    import torch  # noqa: PLC0415

    driver, build = driver_cuda(), torch.version.cuda
    if driver is None:
        if not nvidia_cards():
            return Row("GPU", "ok", "none; everything runs on the CPU")
        remedy = "install NVIDIA's driver; in a container: docker run --gpus all"
        return Row("GPU", "warning", "an NVIDIA card, but no driver", remedy)
    versions = f"driver for CUDA {driver[0]}.{driver[1]}, torch for {build or 'the CPU only'}"
    if build is None:
        remedy = "install a torch with CUDA: pip install --upgrade torch torchvision torchaudio"
        return Row("GPU", "warning", versions, remedy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of is said here
        available = torch.cuda.is_available()
    if not available:
        return _unseen(driver, build, versions)
    try:
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = "install a torch that is built for this card, or hide it: CUDA_VISIBLE_DEVICES="
        return Row("GPU", "error", f"it does not compute ({reason}); {versions}", remedy)
    card = torch.cuda.get_device_properties(0)
    size = f"{card.total_memory / GIB:.0f} GiB"
    return Row("GPU", "ok", f"{torch.cuda.device_count()} × {card.name}, {size}; {versions}")


def _unseen(driver: tuple[int, int], build: str, versions: str) -> Row:
    """Why torch sees no GPU, though there is a driver."""
    if driver[0] < int(build.partition(".")[0]):
        remedy = (
            "update NVIDIA's driver, or install a torch for an older CUDA: "
            "https://pytorch.org/get-started/previous-versions/"
        )
        return Row("GPU", "warning", f"the driver is too old: {versions}", remedy)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    remedy = "see what nvidia-smi says; in a container: docker run --gpus all"
    if hidden is not None:
        remedy = f"unset CUDA_VISIBLE_DEVICES, which is {hidden!r}"
    return Row("GPU", "warning", f"torch sees none; {versions}", remedy)


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA that NVIDIA's driver knows, as (major, minor); None without a driver."""
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed else (version.value // 1000, version.value % 1000 // 10)


def nvidia_cards() -> bool:
    """Whether a display or 3-D controller of NVIDIA's is plugged in."""
    return any(
        vendor.read_text().strip() == "0x10de"
        and (vendor.parent / "class").read_text().startswith("0x03")
        for vendor in Path("/sys/bus/pci/devices").glob("*/vendor")
    )


def pyav() -> Row:
    """The default decoder, on a clip made for the purpose."""
    import av  # noqa: PLC0415

    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    found = f"{av.__version__}, FFmpeg's libavcodec {codec}"
    fault = _fault_of("pyav")
    if fault:
        remedy = "pip install --force-reinstall --only-binary av av"
        return Row("PyAV", "error", f"{found}: {fault}", remedy)
    return Row("PyAV", "ok", found)


def decord() -> Row:
    """A second decoder, whose wheels are built for the CPU only."""
    fault = _fault_of("decord")
    if fault:
        remedy = "pip install --force-reinstall decord; the default decoder, PyAV, does not need it"
        return Row("decord", "warning", fault, remedy)
    build = "CUDA" if decord_has_cuda() else "the CPU"
    return Row("decord", "ok", f"{metadata.version('decord')}, built for {build}")


def decord_has_cuda() -> bool:
    """Whether decord's library was built with CUDA; without, it holds the words of a refusal."""
    spec = util.find_spec("decord")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return not any(b"CUDA not enabled" in path.read_bytes() for path in folder.glob("libdecord*"))


def torchcodec() -> Row:
    """A third decoder, which needs FFmpeg's libraries."""
    library = ctypes.util.find_library("avcodec")
    ffmpeg = f"FFmpeg's {library}" if library else "no FFmpeg libraries"
    try:
        found = f"{metadata.version('torchcodec')}, {ffmpeg}"
    except metadata.PackageNotFoundError:
        return Row("torchcodec", "ok", "not installed; only --decoder torchcodec needs it")
    fault = _fault_of("torchcodec")
    if fault:
        remedy = (
            "on Debian: apt-get install ffmpeg; the default decoder, PyAV, brings its own FFmpeg"
        )
        return Row("torchcodec", "warning", f"{found}: {fault}", remedy)
    return Row("torchcodec", "ok", found)


def nvdec() -> Row:
    """Decoding on NVIDIA's engines, by whichever library can."""
    import torch  # noqa: PLC0415

    from preprocessing.decode import DECODERS  # noqa: PLC0415

    name = "decoding on GPU"
    if not torch.cuda.is_available():
        return Row(name, "ok", "no GPU; clips are decoded on the cores")
    faults = {one: _fault_of(one) for one, backend in DECODERS.items() if backend.on_gpu}
    working = [one for one, fault in faults.items() if not fault]
    if working:
        return Row(name, "ok", f"by {' and '.join(working)}")
    remedy = (
        "pip install 'avcmr[torchcodec]' and FFmpeg's libraries; in a container also "
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video (docs/decoding.md)"
    )
    return Row(name, "warning", "; ".join(f"{one}: {faults[one]}" for one in faults), remedy)


def _fault_of(decoder: str) -> str:
    """Why this decoder cannot decode here, in one line; empty if it can."""
    from preprocessing.decode import DECODERS, decode_sample  # noqa: PLC0415

    try:
        decode_sample(DECODERS[decoder].make())
    except (ClipError, SetupError, ImportError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def ray() -> Row:
    """Ray loads, and the cluster that $RAY_ADDRESS names answers."""
    found = metadata.version("ray")
    try:
        import_module("raytasks.cluster")
    except (ImportError, OSError) as error:
        remedy = "pip install --force-reinstall 'ray[default,train]'"
        return Row("Ray", "error", f"{found} does not load ({error})", remedy)
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address:
        return Row("Ray", "ok", f"{found}, started on this machine when it is needed")
    if not port.isdecimal():
        return Row("Ray", "ok", f"{found}, cluster {address} ($RAY_ADDRESS)")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        remedy = "start that cluster, or unset RAY_ADDRESS to use this machine alone"
        return Row("Ray", "error", f"no answer from {address}, $RAY_ADDRESS ({error})", remedy)
    return Row("Ray", "ok", f"{found}, cluster {address} ($RAY_ADDRESS)")


def weights_of(name: "WeightsName", directory: Path | None) -> Row:
    """Pretrained weights are on this machine, or can be downloaded."""
    from preprocessing.weights import SOURCES, answers, download_urls, find  # noqa: PLC0415

    row = f"weights {name}"
    try:
        found = find(name, directory)
    except SetupError as error:
        return Row(row, "error", str(error), "take the wrong file away, or name another folder")
    if found:
        return Row(row, "ok", str(found.path))
    urls = [url for source in SOURCES[name] for url in download_urls(source)]
    answering = next((url for url in urls if answers(url, timeout=PATIENCE)), None)
    if answering:
        return Row(row, "ok", f"not here; will be downloaded from {answering} when first needed")
    remedy = f"avcmr weights get {name} --mirror URL, or copy the file here: avcmr weights list"
    if name != "inception_v3_2015":
        remedy += "; for trials: avcmr extract --untrained-audio"
    return Row(row, "error", f"not here, and no answer from {' or '.join(urls)}", remedy)
