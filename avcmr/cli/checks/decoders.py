"""The libraries that decode, tried on a clip made for the purpose."""

import ctypes.util
from importlib import metadata, util
from pathlib import Path

from avcmr.cli.checks.machine import Row
from preprocessing.errors import ClipError, SetupError


def pyav() -> Row:
    """The default decoder, on a clip made for the purpose."""
    import av

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
    import torch

    from preprocessing.media import DECODERS

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
    from preprocessing.media import DECODERS, decode_sample

    try:
        decode_sample(DECODERS[decoder].make())
    except (ClipError, SetupError, ImportError, OSError) as error:
        return " ".join(str(error).split())
    return ""
