"""Decoding that returns an error instead of raising it, for callers that go on with other clips."""

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
    return try_clip(clip, lambda local: decoder.decode(local, sampling), fetched)


def try_clip(
    clip: Clip, decode: Callable[[Clip], Decoded], fetched: Fetched
) -> Decoded | ClipError:
    """The result of ``decode`` for a clip whose file is local or was fetched, or its error."""
    local = try_file(clip.path, lambda: replace(clip, path=fetched.file(clip.path)))
    if isinstance(local, ClipError):
        return local
    outcome = try_file(local.path, lambda: decode(local))
    if isinstance(outcome, ClipError):  # users know the file by its own name
        return ClipError(outcome.reason, outcome.message.replace(str(local.path), str(clip.path)))
    return outcome


def try_file(path: MediaPath, decode: Callable[[], Decoded]) -> Decoded | ClipError:
    """The result of ``decode`` for a file, or its error."""
    try:
        return decode()
    except ClipError as error:
        return error
    except MemoryError:
        return ClipError("out_of_memory", f"{path}: not enough memory to decode it")
    except Exception as error:  # whatever a decoder raises is put down to the file
        return ClipError("corrupt", f"{path}: {type(error).__name__}: {error}")
