"""The writer that the tests kill: ``doomed_writer.py FOLDER WRITE``."""

import os
import signal
import sys
import time
from pathlib import Path

from conftest import PROVENANCE, Steps, features_of, make_clips  # beside this script

from preprocessing.store import FeatureWriter


def main(folder: Path, fatal: str) -> None:
    """Extract the 24 clips of ``folder``; amid write number ``fatal`` die by SIGKILL.

    If that is ``never``, say so and wait instead.
    """
    with FeatureWriter(folder / "features.h5", PROVENANCE, max_clips=3) as writer:
        if fatal == "never":
            print("writing", flush=True)
            time.sleep(600)
        steps = Steps(lambda: os.kill(os.getpid(), signal.SIGKILL), at=2 * int(fatal))
        write = steps.before(os.pwrite)

        def write_halves(descriptor: int, data: memoryview, offset: int) -> int:
            half = len(data) // 2
            write(descriptor, data[:half], offset)
            write(descriptor, data[half:], offset + half)
            return len(data)

        os.pwrite = write_halves  # type: ignore[assignment]
        clips = make_clips(folder / "raw", 24)
        for clip in writer.plan(clips).todo:
            writer.add(clip, features_of(clip))
        writer.finish(clips)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
