"""What can go wrong: with one clip, or with the whole command."""

from collections.abc import Sequence
from typing import Literal

Reason = Literal[
    "missing",
    "unreachable",
    "empty",
    "not_media",
    "no_video",
    "no_audio",
    "too_short",
    "corrupt",
    "decode_timeout",
    "decoder_crashed",
    "network_failed",
    "out_of_memory",
]


class ClipError(Exception):
    """One clip cannot be used; every other clip can.

    Attributes:
        reason: the code stored in the feature store's ``/failures``.
        message: what is wrong, in one line.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)  # both in args, so that it pickles between processes
        self.reason: Reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class AvcmrError(Exception):
    """The command cannot be carried out; the message says why, and what to do."""


class UsageError(AvcmrError):
    """An argument or a setting is wrong, or does not go with the others or with the data."""


class NotFoundError(AvcmrError):
    """There is nothing of the given name: no such clip, class, split, run, preset, method, file."""


class SetupError(AvcmrError):
    """Files, installation or machine must be changed first."""


def faults_in(where: object, faults: Sequence[str], remedy: str = "") -> SetupError:
    """One error out of many faults of a file: the first few in words, the rest as a number."""
    more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
    return SetupError(f"{where}: {'; '.join(faults[:5])}{more}{remedy and f'; {remedy}'}")
