"""Python, memory, disk, and the port of Ray's dashboard."""

import os
import platform
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

GIB = 1 << 30

DASHBOARD_PORT = 8265


class CheckError(Exception):
    """Something is not as it should be; an ``error`` if commands that need it cannot run."""

    def __init__(
        self, found: str, remedy: str, status: Literal["warning", "error"] = "error"
    ) -> None:
        super().__init__(found)
        self.found = " ".join(found.split())
        self.remedy = remedy
        self.status = status


def system() -> str:
    """Python on Linux; pip refuses versions that are too old."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        raise CheckError(found, "use Linux, its subsystem on Windows (WSL 2), or a container")
    return found


def memory() -> str:
    """Room for Ray and at least one process with both networks: peaks are 2.2 to 2.8 GB."""
    from ray._private.utils import estimate_available_memory  # knows the limits of containers

    free = estimate_available_memory() / GIB
    found = f"{free:.1f} GiB free, {os.cpu_count()} cores"
    if free < 2:
        raise CheckError(found, "end other programs, or give the container 4 GiB")
    if free < 4:
        remedy = "works with few processes; end other programs if clips fail as out_of_memory"
        raise CheckError(found, remedy, "warning")
    return found


def disk(path: Path) -> str:
    """Features of 28,000 clips of ten seconds take about 3 GiB, twice while they are merged."""
    if not os.access(path, os.W_OK):
        raise CheckError(f"{path} cannot be written", "work in a folder of your own")
    free = shutil.disk_usage(path).free / GIB
    found = f"{free:.1f} GiB free in {path}"
    if free < 1:
        raise CheckError(found, "free some space, or work on another disk")
    if free < 5:
        raise CheckError(found, "enough for small sets; free some space for large ones", "warning")
    return found


def dashboard_port() -> str:
    """Who uses the usual port of Ray's dashboard."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DASHBOARD_PORT))
        except OSError:
            user = _user_of(DASHBOARD_PORT)
            return f"{DASHBOARD_PORT} is used by {user}; the next Ray takes another, and prints it"
    return f"{DASHBOARD_PORT} is free"


def _user_of(port: int) -> str:
    """Who listens at a port, in words."""
    listeners = {
        f"socket:[{fields[9]}]"
        for table in Path("/proc/net").glob("tcp*")
        for fields in map(str.split, table.read_text().splitlines()[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port  # 0A: it listens
    }
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(descriptor.readlink()) in listeners:
                pid = descriptor.parts[2]
                lineage = _lineage(pid)
                if any("/avcmr " in f"{line.partition(' -')[0]} " for line in lineage):
                    return f"a running avcmr (process {pid})"
                is_ray = "ray/dashboard" in lineage[0]
                return f"{'another Ray' if is_ray else 'another program'} (process {pid})"
    return "another user's program"


def _lineage(pid: str) -> list[str]:
    """Command lines of a process, its parent, and so on."""
    if pid in ("0", "1"):
        return []
    process = Path("/proc") / pid
    command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
    return [command, *_lineage(parent)]
