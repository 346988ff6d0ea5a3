"""Decoding that never raises: for work that goes on with the next clip."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from preprocessing.clips import Clip
from preprocessing.decode.sampling import Decoder, Sampling
from preprocessing.errors import ClipError
from preprocessing.media import Media

Decoded = TypeVar("Decoded")


def try_decode(decoder: Decoder, clip: Clip, sampling: Sampling) -> Media | ClipError:
    """The decoded clip, or what is wrong with it."""
    return attempt(clip.path, lambda: decoder.decode(clip, sampling))


def attempt(path: Path, decode: Callable[[], Decoded]) -> Decoded | ClipError:
    """What ``decode`` makes of a file, or what is wrong with it."""
    try:
        return decode()
    except ClipError as error:
        return error
    except MemoryError:
        return ClipError("out_of_memory", f"{path}: not enough memory to decode it")
    except Exception as error:  # whatever a file provokes in a decoder is the file's fault
        return ClipError("corrupt", f"{path}: {type(error).__name__}: {error}")
