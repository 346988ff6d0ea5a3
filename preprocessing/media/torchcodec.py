"""Decoding with torchcodec, on the CPU or on NVIDIA's decoding engines."""

import numpy as np
import torch
from torchcodec import ffmpeg_major_version
from torchcodec.decoders import VideoDecoder
from torchcodec.transforms import Resize

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.headers import opened
from preprocessing.media.reading import Reading
from preprocessing.media.sampling import Sampling, frame_times
from preprocessing.media.types import Media

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
        with opened(clip.file) as container:
            reading = Reading.of(container, clip, sampling)
            reading.require_plain_clock()
            headers, sound = reading.headers, reading.sound()
            orientation = reading.orientation()
            stream = headers.video.index  # memory of the container, which is about to be closed
        size, on_gpu = sampling.frame_size, self._device.type == "cuda"
        try:
            video = VideoDecoder(
                clip.file.absolute(),
                stream_index=stream,
                dimension_order="NHWC",
                device=self._device,
                transforms=[Resize((size, size))] if size and not on_gpu else None,
            )
            if on_gpu and video.cpu_fallback:
                raise ClipError("corrupt", f"{clip.file}: {video.cpu_fallback}")
            first = video.metadata.begin_stream_seconds or 0.0
            last = video.metadata.end_stream_seconds or 0.0
            reading.require_until(last - first, "torchcodec")
            times = frame_times(reading.seconds, sampling.frames_per_second)
            # A last half second is sampled at its very end, where torchcodec has no frame any more.
            played = np.minimum(first + reading.start + times, np.nextafter(last, first))
            frames = video.get_frames_played_at(played.tolist()).data
        except (RuntimeError, ValueError, IndexError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ClipError(
                "corrupt",
                f"{clip.file}: torchcodec cannot decode its {headers.source.codec} video "
                f"({reason}); try --decoder pyav",
            ) from None
        return Media(
            frames=orientation.add_mirroring(frames if on_gpu else frames.numpy()),
            frame_times=times,
            waveform=sound.waveform,
            duration=reading.seconds,
            source=headers.source,
            damage=reading.damage(sound),
        )
