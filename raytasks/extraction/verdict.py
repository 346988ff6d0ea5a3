"""Why a clip is given up after the processes that worked on it have died."""

from typing import Any, cast

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, Reason
from raytasks.extraction.pool import Death, Outcome

ATTEMPTS = 2
"""Processes that may die of a clip, be it alone or the one that took too long: it is not tried a
third time."""


def verdict(clip: Clip, outcome: Outcome[Any], clip_seconds: float) -> ClipError:
    """The failure to record for a clip whose last process died.

    Args:
        clip: the clip.
        outcome: of its last attempt, with a death other than ``lost``.
        clip_seconds: how long decoding may take, for the message.
    """
    reasons: dict[Death, tuple[Reason, str]] = {
        "timeout": ("decode_timeout", f"not done after {clip_seconds:g} s"),
        "crash": ("decoder_crashed", "its process died"),
        "error": ("network_failed", f"the networks failed ({outcome.said})"),
        "out_of_memory": ("out_of_memory", "its process ran out of memory"),
    }
    reason, what = reasons[cast(Death, outcome.death)]
    return ClipError(
        reason, f"{clip.path}: {what}, {ATTEMPTS} times; re-encode it, or leave it out"
    )
