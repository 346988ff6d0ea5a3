"""A media file becomes frames and sound on one clock."""

from preprocessing.media.backends import DECODERS, Backend, best_decoder, decode_sample
from preprocessing.media.kind import Kind, media_kind
from preprocessing.media.picture import decode_image
from preprocessing.media.pyav import PyAVDecoder, decode_pictures, decode_sound
from preprocessing.media.sampling import Decoder, Sampling

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
