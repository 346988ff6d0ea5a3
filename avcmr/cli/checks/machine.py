"""Python, packages, memory, disk and ports."""

import os
import platform
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

GIB = 1 << 30

NEWEST_PYTHON = (3, 13)

LEAST_MEMORY = 2 * GIB
"""Ray's own processes and one with both networks; measured peaks are 2.2 to 2.8 GB."""

AMPLE_MEMORY = 4 * GIB

LEAST_DISK = 1 * GIB

AMPLE_DISK = 5 * GIB
"""Features of 28,000 clips of ten seconds take about 3 GiB, twice while they are merged."""

CGROUP = Path("/sys/fs/cgroup")

CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""A container's limit and use of memory, in versions 2 and 1 of control groups."""

DASHBOARD_PORT = 8265

Status = Literal["ok", "warning", "error"]


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
    for names in CGROUP_FILES:
        try:
            limit, used = (int((CGROUP / name).read_text()) for name in names)
            free = min(free, limit - used)
        except (OSError, ValueError):  # another version, or no limit ("max")
            continue
    return free


def shared_memory() -> Row:
    """Room in /dev/shm for Ray's object store."""
    from raytasks.cluster import OBJECT_STORE_BYTES

    remedy = "in a container: docker run --shm-size=1g; Ray falls back on slow temporary files"
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Row("shared memory", "warning", "there is no /dev/shm", remedy)
    found = f"{free / GIB:.1f} GiB free in /dev/shm"
    if free < OBJECT_STORE_BYTES:
        return Row("shared memory", "warning", found, remedy)
    return Row("shared memory", "ok", found)


def working_folder() -> Row:
    """Room for features and runs."""
    return disk("disk", Path.cwd())


def temporary_files() -> Row:
    """Room for what Ray keeps while it runs."""
    return disk("temporary files", Path(tempfile.gettempdir()))


def disk(name: str, path: Path) -> Row:
    """Room in a folder, and the right to write there."""
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
