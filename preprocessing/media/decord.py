"""Decoding with decord, on the CPU or, where it has been built for that, on a GPU."""

import decord
import numpy as np
import torch
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.headers import Headers, opened, read_headers
from preprocessing.media.sampling import Sampling, cut, frame_times, shown_at
from preprocessing.media.types import Frames, Media
from preprocessing.media.waveform import read_waveform, usable_waveform

MAX_REPAIRED = 0.1
"""Share of frames that decord may replace by their neighbours before the clip counts as corrupt."""

decord.logging.set_level(decord.logging.FATAL)  # a bad clip is reported once, by us


class DecordDecoder:
    """Pictures by decord, sound by PyAV.

    Frames are picked by their time stamps and never by index over rate, which is wrong for
    variable frame rates and edit lists. On the CPU they are resized inside the decoder, so that
    full-size pictures are never copied; on a GPU they stay there, at their own size.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._context = decord.gpu(0) if device == "cuda" else decord.cpu(0)
        self._on_gpu = device == "cuda"

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """See :meth:`preprocessing.media.Decoder.decode`."""
        with opened(clip.file) as container:
            headers = read_headers(container, clip.file)
            headers.require_within(clip, sampling.max_seconds)
            sound = container.decode(headers.audio)
            origin = headers.video_start + (clip.start or 0.0)
            waveform = read_waveform(sound, origin, sampling.max_seconds)
        if headers.source.codec == "hevc":
            raise ClipError(
                "corrupt",
                f"{clip.file}: decord jumps to key frames, from which HEVC's open groups cannot be "
                "decoded; try --decoder pyav",
            )
        try:
            frames, times, start, end = self._read_frames(clip, sampling, headers)
        except (
            decord.DECORDError,
            decord.DECORDLimitReachedError,
            RuntimeError,
            IndexError,  # it counts frames of which it has no time stamps
        ) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ClipError(
                "corrupt",
                f"{clip.file}: decord cannot decode its {headers.source.codec} video ({reason}); "
                "try --decoder pyav",
            ) from None
        return Media(
            frames=frames,
            frame_times=times,
            waveform=usable_waveform(waveform, end - start, clip.file),
            duration=end - start,
            source=headers.source,
        )

    def _read_frames(
        self, clip: Clip, sampling: Sampling, headers: Headers
    ) -> tuple[Frames, NDArray[np.float64], float, float]:
        """Frames (T, H, W, 3), their times (T,) from the start of the cut, and the cut itself."""
        size = -1 if self._on_gpu else sampling.frame_size or -1
        reader = decord.VideoReader(
            str(clip.file.absolute()),
            ctx=self._context,
            width=size,
            height=size,
            num_threads=1,
            fault_tol=MAX_REPAIRED,
        )
        shown = reader.get_frame_timestamp(np.arange(len(reader)))  # (frames, 2): from, until
        if shown[0, 0] < -1e-3:
            raise RuntimeError("it counts frames that an edit list hides, and takes wrong ones")
        duration = float(shown[-1, 1])
        headers.require_all(duration, clip.file)
        start, end = cut(clip, duration)
        times = frame_times(end - start, sampling.frames_per_second)
        batch = reader.get_batch(shown_at(shown[:, 0], start + times))
        if self._on_gpu:
            return torch.utils.dlpack.from_dlpack(batch.to_dlpack()), times, start, end
        return batch.asnumpy(), times, start, end
