"""Decoding with torchcodec, on the CPU or on NVIDIA's decoding engines."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torchcodec import ffmpeg_major_version
from torchcodec.decoders import VideoDecoder
from torchcodec.transforms import Resize

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.library import decode_with
from preprocessing.media.reading import Reading
from preprocessing.media.sampling import Sampling
from preprocessing.media.types import Frames, Media

if ffmpeg_major_version is None:  # it is imported all the same, for pictures alone
    raise ImportError("no FFmpeg libraries within reach")


class TorchcodecDecoder:
    """Pictures by torchcodec, sound by PyAV.

    On the CPU frames are resized inside the decoder. On a GPU they stay there, at their own size;
    what its engines cannot decode (10 bit H.264, for instance) is refused and left to a CPU.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = torch.device(device)

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        """See :meth:`preprocessing.media.Decoder.decode`."""
        errors = (RuntimeError, ValueError, IndexError)
        read = partial(self._read_frames, sampling)
        return decode_with("torchcodec", clip, sampling, read, errors)

    def _read_frames(
        self, sampling: Sampling, reading: Reading, times: NDArray[np.float64]
    ) -> Frames:
        clip, size, on_gpu = reading.clip, sampling.frame_size, self._device.type == "cuda"
        video = VideoDecoder(
            clip.file.absolute(),
            stream_index=reading.headers.video.index,
            dimension_order="NHWC",
            device=self._device,
            transforms=[Resize((size, size))] if size and not on_gpu else None,
        )
        if on_gpu and video.cpu_fallback:
            raise ClipError("corrupt", f"{clip.file}: {video.cpu_fallback}")
        first = video.metadata.begin_stream_seconds or 0.0
        last = video.metadata.end_stream_seconds or 0.0
        reading.require_until(last - first, "torchcodec")
        # A last half second is sampled at its very end, where torchcodec has no frame any more.
        played = np.minimum(first + times, np.nextafter(last, first))
        frames = video.get_frames_played_at(played.tolist()).data
        return frames if on_gpu else frames.numpy()
