"""Decoding that never raises: for work that goes on with the next clip."""

from preprocessing.clips import Clip
from preprocessing.decode.sampling import Decoder, Sampling
from preprocessing.errors import ClipError
from preprocessing.media import Media


def try_decode(decoder: Decoder, clip: Clip, sampling: Sampling) -> Media | ClipError:
    """The decoded clip, or what is wrong with it."""
    try:
        return decoder.decode(clip, sampling)
    except ClipError as error:
        return error
    except MemoryError:
        return ClipError("out_of_memory", f"{clip.path}: not enough memory to decode it")
    except Exception as error:  # whatever a file provokes in a decoder is the file's fault
        return ClipError("corrupt", f"{clip.path}: {type(error).__name__}: {error}")
