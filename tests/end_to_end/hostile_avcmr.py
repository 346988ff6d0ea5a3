"""``avcmr`` with a decoder that does to its process what the environment says.

``HOSTILE_HOLD=ID FILE``: at clip ``ID``, put the process's id into ``FILE.pid`` and wait while
``FILE`` exists. ``HOSTILE_EAT=ID``: at clip ``ID``, take ever more memory.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import preprocessing.media
from avcmr.cli import main
from preprocessing.clips import Clip
from preprocessing.media import DECODERS, PyAVDecoder, Sampling
from preprocessing.media.types import Media

BLOCK_BYTES = 128 << 20
MOST_BLOCKS = 80
"""10 GiB: if nobody interferes, the test is to fail, and not the machine."""


class HostileDecoder(PyAVDecoder):
    """PyAV's decoder, on its bad days."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        held, _, file = os.environ.get("HOSTILE_HOLD", "").partition(" ")
        if clip.id == held:
            hold(Path(file))
        if clip.id == os.environ.get("HOSTILE_EAT"):
            hoard = [np.ones(BLOCK_BYTES, np.uint8) for _ in range(MOST_BLOCKS)]
            raise AssertionError(f"ate {len(hoard)} blocks")
        return super().decode(clip, sampling)


def hold(file: Path) -> None:
    if file.exists():
        file.with_suffix(".tmp").write_text(str(os.getpid()))
        file.with_suffix(".tmp").rename(file.with_suffix(".pid"))
    while file.exists():
        time.sleep(0.05)


if __name__ == "__main__":
    hostile = replace(DECODERS["pyav"], make=HostileDecoder)
    preprocessing.media.DECODERS = {"pyav": hostile}
    main()
