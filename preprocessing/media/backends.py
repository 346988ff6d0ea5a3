"""The decoding libraries, by the names that ``--decoder`` takes."""

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media.encode import write_clip
from preprocessing.media.pyav import PyAVDecoder
from preprocessing.media.sampling import Decoder, Sampling

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """A decoding library on one kind of device.

    Attributes:
        libraries: distributions whose versions determine the output, the video decoder's first.
        make: creates a decoder, in the process that decodes.
        device: ``cpu`` or ``cuda``.
        takes_key_frames: whether it supports :attr:`Sampling.key_frames`.
    """

    libraries: tuple[str, ...]
    make: Callable[[], Decoder]
    device: str = "cpu"
    takes_key_frames: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def describe(self) -> str:
        """Libraries, versions and device, for the feature store; needs no device.

        Raises:
            SetupError: a library is not installed.
        """
        first, *others = [_versioned(library) for library in self.libraries]
        return ", ".join([f"{first} {self.device}", *others])


def _versioned(library: str) -> str:
    try:
        version = metadata.version(library)
    except metadata.PackageNotFoundError:
        raise SetupError(
            f"{library} is not installed: pip install 'avcmr[{library}]', or --decoder pyav"
        ) from None
    # Features are recomputed when this changes; minor releases of PyAV are no reason to.
    return f"PyAV {version.partition('.')[0]}" if library == "av" else f"{library} {version}"


def _decord(device: str) -> Decoder:
    from preprocessing.media.decord import DecordDecoder

    return _tested(DecordDecoder(device), device, "see docs/decoding.md on building decord")


def _torchcodec(device: str) -> Decoder:
    try:
        from preprocessing.media.torchcodec import TorchcodecDecoder
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SetupError(
            f"torchcodec cannot be loaded ({reason}); it needs pip install 'avcmr[torchcodec]' and "
            "FFmpeg's libraries (on Debian: apt-get install ffmpeg), or take --decoder pyav"
        ) from None
    return _tested(TorchcodecDecoder(device), device, "it needs NVIDIA's libnvcuvid")


def _tested(decoder: Decoder, device: str, remedy: str) -> Decoder:
    """The decoder; on a GPU only after it has decoded a sample there.

    Raises:
        SetupError: it could not.
    """
    if device != "cpu":
        try:
            if not torch.cuda.is_available():
                raise ClipError("corrupt", "no GPU is visible")
            decode_sample(decoder)
        except ClipError as error:
            raise SetupError(
                f"no decoding on the GPU ({error.message}); {remedy}, or take --decoder pyav"
            ) from None
    return decoder


def decode_sample(decoder: Decoder) -> None:
    """Decode a synthetic clip of two seconds, H.264 and AAC.

    Raises:
        ClipError: the decoder cannot.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.mp4"
        noise = np.random.default_rng(0).normal(0, 0.1, (1, 32_000)).astype(np.float32)
        write_clip(path, [np.full((256, 256, 3), 128, np.uint8)] * 20, 10, noise, 16_000)
        decoder.decode(Clip("sample", path, ""), Sampling())


DECODERS: Mapping[str, Backend] = {
    "pyav": Backend(("av",), PyAVDecoder, takes_key_frames=True),
    "decord": Backend(("decord", "av"), partial(_decord, "cpu")),
    "decord-gpu": Backend(("decord", "av"), partial(_decord, "cuda"), "cuda"),
    "torchcodec": Backend(("torchcodec", "av"), partial(_torchcodec, "cpu")),
    "torchcodec-cuda": Backend(("torchcodec", "av"), partial(_torchcodec, "cuda"), "cuda"),
}
"""The choices of ``--decoder``; on the CPU the first is the fastest (``benchmarks/``)."""


def best_decoder() -> str:
    """The fastest decoder of this machine: one on its GPU if any works there, else ``pyav``."""
    if torch.cuda.is_available():
        for name, backend in DECODERS.items():
            if backend.on_gpu:
                try:
                    backend.make()
                except SetupError as error:
                    _log.info("%s: %s", name, error)
                else:
                    return name
    return "pyav"
