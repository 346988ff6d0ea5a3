"""A media file becomes frames and sound on one clock."""

from preprocessing.decode.backends import DECODERS, Backend, best_decoder, decode_sample
from preprocessing.decode.pyav import PyAVDecoder
from preprocessing.decode.sampling import Decoder, Sampling

__all__ = [
    "DECODERS",
    "Backend",
    "Decoder",
    "PyAVDecoder",
    "Sampling",
    "best_decoder",
    "decode_sample",
]
