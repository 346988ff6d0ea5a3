"""A media file becomes frames and sound on one clock."""

from collections.abc import Callable, Mapping

from preprocessing.decode.decord_cpu import DecordDecoder
from preprocessing.decode.pyav_cpu import PyAVDecoder
from preprocessing.decode.sampling import Decoder, Sampling

DECODERS: Mapping[str, Callable[[], Decoder]] = {"pyav": PyAVDecoder, "decord": DecordDecoder}
"""What ``--decoder`` chooses from; the first needs the least CPU time (``benchmarks/``)."""

__all__ = ["DECODERS", "Decoder", "DecordDecoder", "PyAVDecoder", "Sampling"]
