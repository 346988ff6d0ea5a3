"""Decoding: a media file becomes frames and a waveform on one timeline."""

from preprocessing.media.backends import DECODERS, Backend, best_decoder, decode_sample
from preprocessing.media.image import decode_image
from preprocessing.media.probe import Kind, media_kind
from preprocessing.media.pyav import PyAVDecoder, decode_frames, decode_waveform
from preprocessing.media.sampling import Decoder, Sampling

__all__ = [
    "DECODERS",
    "Backend",
    "Decoder",
    "Kind",
    "PyAVDecoder",
    "Sampling",
    "best_decoder",
    "decode_frames",
    "decode_image",
    "decode_sample",
    "decode_waveform",
    "media_kind",
]
