"""torch, the GPU and its driver."""

import ctypes
import os
import warnings
from importlib import import_module, metadata
from pathlib import Path

from avcmr.cli.checks.machine import Row


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
    import torch

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
    size = f"{card.total_memory / (1 << 30):.0f} GiB"
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
