"""A media file becomes frames and sound on one clock."""

from preprocessing.decode.backends import DECODERS, Backend, best_decoder, decode_sample
from preprocessing.decode.kind import Kind, media_kind
from preprocessing.decode.picture import decode_image
from preprocessing.decode.pyav import PyAVDecoder, decode_pictures, decode_sound
from preprocessing.decode.sampling import Decoder, Sampling

__all__ = [
    "DECODERS",
    "Backend",
    "Decoder",
    "Kind",
    "PyAVDecoder",
    "Sampling",
    "best_decoder",
    "decode_image",
    "decode_pictures",
    "decode_sample",
    "decode_sound",
    "media_kind",
]
