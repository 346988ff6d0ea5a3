"""Decoding with decord, on the CPU or, where it has been built for that, on a GPU."""

from functools import partial

import decord
import numpy as np
import torch
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.damage import MAX_LOST
from preprocessing.media.library import decode_with
from preprocessing.media.reading import Reading
from preprocessing.media.sampling import Sampling, shown_at
from preprocessing.media.types import Frames, Media

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
        errors = (
            decord.DECORDError,
            decord.DECORDLimitReachedError,
            RuntimeError,
            IndexError,  # it counts frames of which it has no time stamps
        )
        return decode_with("decord", clip, sampling, partial(self._read_frames, sampling), errors)

    def _read_frames(
        self, sampling: Sampling, reading: Reading, times: NDArray[np.float64]
    ) -> Frames:
        if reading.headers.source.codec == "hevc":
            raise ClipError(
                "corrupt",
                f"{reading.clip.file}: decord jumps to key frames, from which HEVC's open groups "
                "cannot be decoded; try --decoder pyav",
            )
        size = -1 if self._on_gpu else sampling.frame_size or -1
        reader = decord.VideoReader(
            str(reading.clip.file.absolute()),
            ctx=self._context,
            width=size,
            height=size,
            num_threads=1,
            fault_tol=MAX_LOST,
        )
        shown = reader.get_frame_timestamp(np.arange(len(reader)))  # (frames, 2): from, until
        if shown[0, 0] < -1e-3:
            raise RuntimeError("it counts frames that an edit list hides, and takes wrong ones")
        reading.require_until(float(shown[-1, 1]), "decord")
        batch = reader.get_batch(shown_at(shown[:, 0], times))
        if self._on_gpu:
            return torch.utils.dlpack.from_dlpack(batch.to_dlpack())
        frames: NDArray[np.uint8] = batch.asnumpy()
        return frames
