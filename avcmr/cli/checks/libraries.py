"""torch and the GPU, decoders, Ray, and the pretrained weights."""

import os
import socket
import warnings
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from avcmr.cli.checks.machine import CheckError
from preprocessing.errors import AvcmrError, ClipError

if TYPE_CHECKING:
    from preprocessing.networks.weights import WeightsName

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where the machine runs NVIDIA's driver, inside containers too."""

_TIMEOUT = 3.0
"""Seconds to wait for an answer from another machine."""


def torch_libraries() -> str:
    """torch, torchvision and torchaudio load and fit each other."""
    names = ("torch", "torchvision", "torchaudio")
    found = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    try:
        for name in names:
            import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = "install the three together: pip install --upgrade torch torchvision torchaudio"
        raise CheckError(f"{found}: they do not load together ({reason})", remedy) from None
    return found


def gpu() -> str:
    """A GPU that torch can compute on; without one everything runs on the CPU."""
    import torch

    built_for = f"torch is built for {torch.version.cuda or 'the CPU only'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the row says what torch warns about
        available = torch.cuda.is_available()
    if not available and not NVIDIA_DRIVER.exists():
        return "none; everything runs on the CPU"
    if not available:
        remedy = (
            "see that CUDA_VISIBLE_DEVICES hides none; in a container: docker run --gpus all; else "
            "update NVIDIA's driver, or install a torch for the CUDA that nvidia-smi shows: "
            "https://pytorch.org/get-started/previous-versions/"
        )
        raise CheckError(f"a driver, but torch finds no GPU; {built_for}", remedy, "warning")
    try:
        torch.ones(1, device="cuda").add(1).item()
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = "install a torch that is built for this card, or hide it: CUDA_VISIBLE_DEVICES="
        raise CheckError(f"it does not compute ({reason}); {built_for}", remedy) from None
    card = torch.cuda.get_device_properties(0)
    size = f"{card.total_memory / (1 << 30):.0f} GiB"
    return f"{torch.cuda.device_count()} × {card.name}, {size}; {built_for}"


def decoders() -> str:
    """PyAV, the default, and the other decoders, each tried on a small clip."""
    import torch

    from preprocessing.media import DECODERS

    backends = {name: one for name, one in DECODERS.items() if not one.on_gpu}
    if torch.cuda.is_available():
        backends = dict(DECODERS)
    faults = {name: _fault_of(name) for name in backends}
    found = "; ".join(f"{name}: {fault or 'works'}" for name, fault in faults.items())
    if faults["pyav"]:
        raise CheckError(found, "pip install --force-reinstall --only-binary av av")
    on_gpu = [name for name, one in backends.items() if one.on_gpu]
    if on_gpu and all(faults[name] for name in on_gpu):
        remedy = (
            "to decode on the GPU: pip install 'avcmr[torchcodec]' and FFmpeg's libraries; in a "
            "container also NVIDIA_DRIVER_CAPABILITIES=compute,utility,video (docs/decoding.md)"
        )
        raise CheckError(found, remedy, "warning")
    return found


def _fault_of(decoder: str) -> str:
    """Why this decoder cannot decode here; empty if it can."""
    from preprocessing.media import DECODERS, decode_sample

    try:
        decode_sample(DECODERS[decoder].make())
    except (ClipError, AvcmrError, ImportError, OSError) as error:
        return str(error)
    return ""


def ray() -> str:
    """Ray loads, and the cluster that $RAY_ADDRESS names answers."""
    found = metadata.version("ray")
    try:
        import_module("raytasks.cluster")
    except (ImportError, OSError) as error:
        remedy = "pip install --force-reinstall 'ray[default,train]'"
        raise CheckError(f"{found} does not load ({error})", remedy) from None
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        return f"{found}, started on this machine when it is needed"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdecimal():  # else a name such as "auto"
            socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
    except OSError as error:
        remedy = "start that cluster, or unset RAY_ADDRESS to use this machine alone"
        raise CheckError(f"no answer from {address}, $RAY_ADDRESS ({error})", remedy) from None
    return f"{found}, cluster {address} ($RAY_ADDRESS)"


def weights_of(name: "WeightsName", directory: Path | None) -> str:
    """Pretrained weights are on this machine, or can be downloaded."""
    from preprocessing.networks.weights import SOURCES, answers, download_urls, find

    try:
        found = find(name, directory)
    except AvcmrError as error:
        wrong, _, remedy = str(error).rpartition("; ")
        raise CheckError(wrong, remedy) from None
    if found:
        return str(found.path)
    urls = [url for source in SOURCES[name] for url in download_urls(source)]
    answering = next((url for url in urls if answers(url, timeout=_TIMEOUT)), None)
    if answering:
        return f"will be downloaded from {answering} when first needed"
    remedy = f"avcmr weights get {name} --mirror URL, or copy the file here: avcmr weights list"
    if name != "inception_v3_2015":
        remedy += "; for trials: avcmr extract --untrained-audio"
    raise CheckError(f"not here, and no answer from {' or '.join(urls)}", remedy)
