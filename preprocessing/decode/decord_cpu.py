"""Decoding with decord on the CPU."""

import importlib.metadata

import av
import decord
import numpy as np
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.decode.headers import Headers, opened, read_headers
from preprocessing.decode.sampling import Sampling, cut, frame_times
from preprocessing.decode.sound import read_waveform, require_sound
from preprocessing.errors import ClipError
from preprocessing.media import SAMPLE_RATE, Media

MAX_REPAIRED = 0.1
"""Share of frames that decord may replace by their neighbours before the clip counts as corrupt."""

decord.logging.set_level(decord.logging.FATAL)  # a bad clip is reported once, by us


class DecordDecoder:
    """Pictures by decord on one CPU thread, sound by PyAV.

    Frames are picked by their time stamps and never by index over rate, which is wrong for
    variable frame rates and edit lists. They are resized inside the decoder, so that full-size
    pictures are never copied.
    """

    def __init__(self) -> None:
        # Features are made anew when this changes, which PyAV's minor releases do not call for.
        pyav = av.__version__.partition(".")[0]
        self.name = f"decord {importlib.metadata.version('decord')} cpu, PyAV {pyav}"

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """See :meth:`preprocessing.decode.Decoder.decode`."""
        with opened(clip.path) as container:
            headers = read_headers(container, clip.path)
            if headers.duration is not None and headers.duration > sampling.max_seconds:
                raise ClipError(
                    "out_of_memory",
                    f"{clip.path}: {headers.duration:.0f} s long, more than the limit of "
                    f"{sampling.max_seconds:g} s; cut it into clips",
                )
            waveform = read_waveform(container, headers, sampling.max_seconds)
        try:
            frames, times, start, end = _read_frames(clip, sampling, headers)
        except (decord.DECORDError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ClipError(
                "corrupt",
                f"{clip.path}: decord cannot decode its {headers.source.codec} video ({reason})",
            ) from None
        first, last = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
        return Media(
            frames=frames,
            frame_times=times,
            waveform=require_sound(waveform[first:last], clip.path),
            duration=end - start,
            source=headers.source,
        )


def _read_frames(
    clip: Clip, sampling: Sampling, headers: Headers
) -> tuple[NDArray[np.uint8], NDArray[np.float64], float, float]:
    """Frames (T, H, W, 3), their times (T,) from the start of the cut, and the cut itself."""
    size = sampling.frame_size or -1
    reader = decord.VideoReader(
        str(clip.path.absolute()), width=size, height=size, num_threads=1, fault_tol=MAX_REPAIRED
    )
    shown = reader.get_frame_timestamp(np.arange(len(reader)))  # (frames, 2): from, until
    duration, promised = float(shown[-1, 1]), headers.duration
    if promised is not None and promised - duration > max(1.0, 0.1 * promised):
        raise ClipError(
            "corrupt",
            f"{clip.path}: the header promises {promised:.1f} s of picture, "
            f"the file holds {duration:.1f} s; fetch it again",
        )
    start, end = cut(clip, duration)
    times = frame_times(end - start, sampling.frames_per_second)
    # A player shows, at any time, the last frame whose time has come.
    indices = np.searchsorted(shown[:, 0], start + times, side="right") - 1
    frames = reader.get_batch(np.maximum(indices, 0)).asnumpy()
    return frames, times, start, end
