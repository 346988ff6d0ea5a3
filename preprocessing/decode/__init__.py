"""A media file becomes frames and sound on one clock."""

from preprocessing.decode.decord_cpu import DecordDecoder
from preprocessing.decode.sampling import Decoder, Sampling

__all__ = ["Decoder", "DecordDecoder", "Sampling"]
