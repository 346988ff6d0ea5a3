"""Pictures by a library that opens the file itself; the timeline and the sound by PyAV."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.headers import opened
from preprocessing.media.reading import Reading
from preprocessing.media.sampling import Sampling, frame_times
from preprocessing.media.types import Frames, Media

ReadFrames = Callable[[Reading, NDArray[np.float64]], Frames]
"""A clip and times (T,), in seconds from the file's first frame → the frames (T, H, W, 3) shown
then, turned by the angle of the file's display matrix."""


def decode_with(
    library: str,
    clip: Clip,
    sampling: Sampling,
    read_frames: ReadFrames,
    errors: tuple[type[Exception], ...],
) -> Media:
    """Decode a clip, its frames by a library.

    Args:
        library: its name, for messages.
        clip: the clip.
        sampling: how it is sampled.
        read_frames: asks the library for frames.
        errors: what the library raises where it cannot decode a file.

    Raises:
        ClipError: with the reason why the clip cannot be used, at least with this library.
    """
    with opened(clip.file) as container:
        reading = Reading.of(container, clip, sampling)
        reading.require_plain_clock()
        sound, orientation = reading.sound(), reading.orientation()
        times = frame_times(reading.seconds, sampling.frames_per_second)
        try:
            frames = read_frames(reading, reading.start + times)
        except errors as error:
            reason = str(error).strip().partition("\n")[0]
            raise ClipError(
                "corrupt",
                f"{clip.file}: {library} cannot decode its {reading.headers.source.codec} video "
                f"({reason}); try --decoder pyav",
            ) from None
    return Media(
        frames=orientation.add_mirroring(frames),
        frame_times=times,
        waveform=sound.waveform,
        duration=reading.seconds,
        source=reading.headers.source,
        damage=reading.damage(sound),
    )
