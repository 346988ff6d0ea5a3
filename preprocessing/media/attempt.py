"""Decoding that never raises: for work that goes on with the next clip."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.sampling import Decoder, Sampling
from preprocessing.media.types import Media
from preprocessing.remote import Fetched, MediaPath

Decoded = TypeVar("Decoded")


def try_decode(
    decoder: Decoder, clip: Clip, sampling: Sampling, fetched: Fetched
) -> Media | ClipError:
    """The decoded clip, or what is wrong with it."""
    return attempt_clip(clip, lambda here: decoder.decode(here, sampling), fetched)


def attempt_clip(
    clip: Clip, decode: Callable[[Clip], Decoded], fetched: Fetched
) -> Decoded | ClipError:
    """What ``decode`` makes of a clip whose file is here or was fetched, or what is wrong."""
    here = attempt(clip.path, lambda: replace(clip, path=fetched.file(clip.path)))
    if isinstance(here, ClipError):
        return here
    outcome = attempt(here.path, lambda: decode(here))
    if isinstance(outcome, ClipError):  # the user knows the file by its own name
        return ClipError(outcome.reason, outcome.message.replace(str(here.path), str(clip.path)))
    return outcome


def attempt(path: MediaPath, decode: Callable[[], Decoded]) -> Decoded | ClipError:
    """What ``decode`` makes of a file, or what is wrong with it."""
    try:
        return decode()
    except ClipError as error:
        return error
    except MemoryError:
        return ClipError("out_of_memory", f"{path}: not enough memory to decode it")
    except Exception as error:  # whatever a file provokes in a decoder is the file's fault
        return ClipError("corrupt", f"{path}: {type(error).__name__}: {error}")
