"""Features of clips in one process: no frame is copied between processes, or leaves the GPU."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import torch

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Decoder, PyAVDecoder, Sampling
from preprocessing.media.outcome import try_decode
from preprocessing.media.types import ClipFeatures, Media
from preprocessing.remote import Fetched, MediaPath, media_path

if TYPE_CHECKING:  # processes that only decode need not wait for its import, of a second or two
    from preprocessing.networks.extractor import FeatureExtractor, Networks

CLIPS_PER_FORWARD = 4
"""Clips in a batch: about forty frames for clips of ten seconds."""


def extract_clip(
    path: MediaPath | str,
    *,
    start: float | None = None,
    end: float | None = None,
    networks: "Networks | None" = None,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> ClipFeatures:
    """The features of one clip, equal to what ``avcmr extract`` stores with the same settings.

    The networks are loaded at the first call and cached.

    Args:
        path: a video file with sound, or its URL.
        start: second of the file at which the clip begins; None for its beginning.
        end: second at which it ends; None for its end.
        networks: which; by default the 2015 Inception-v3 and VGGish, as published.
        sampling: how the clip is sampled; by default a frame a second.
        device: where the networks compute.

    Raises:
        ClipError: this file cannot be used.
        AvcmrError: the networks' weights are not available, or no such URL can be fetched.
    """
    place = media_path(path) if isinstance(path, str) else path
    clip = Clip(id=str(path), path=place, label="", start=start, end=end)
    with Fetched([place]) as fetched:
        media = try_decode(PyAVDecoder(), clip, sampling or Sampling(), fetched)
    if isinstance(media, ClipError):
        raise media
    from preprocessing.networks.extractor import Networks

    (features,) = _loaded(networks or Networks(), device).extract([media])
    return features


@lru_cache(maxsize=1)
def _loaded(networks: "Networks", device: str) -> "FeatureExtractor":
    from preprocessing.networks.extractor import FeatureExtractor

    return FeatureExtractor.load(networks, torch.device(device))


class Extractor(Protocol):
    """Computes the features of decoded clips."""

    def extract(self, clips: Sequence[Media]) -> Sequence[ClipFeatures]:
        """Features of each clip, in their order."""
        ...


class DirectExtractor:
    """Decodes clips in parallel threads and runs the networks on batches of them.

    On a GPU each decoding thread has a CUDA stream of its own, so that decoding,
    the networks and copies overlap.

    ``make_decoder`` is called once in each of ``clips_at_once`` decoding threads.

    Raises:
        SetupError: no decoder can be made here.
    """

    def __init__(
        self,
        make_decoder: Callable[[], Decoder],
        extractor: Extractor,
        sampling: Sampling,
        device: torch.device,
        clips_at_once: int,
    ) -> None:
        self._make_decoder = make_decoder
        self._extractor = extractor
        self._sampling = sampling
        self._device = device
        self._own = threading.local()
        self._began: dict[str, float] = {}
        make_decoder()  # raise its errors here and not inside the threads
        self._threads = ThreadPoolExecutor(
            clips_at_once, thread_name_prefix="decode", initializer=self._prepare
        )

    def extract(self, clips: Sequence[Clip]) -> list[ClipFeatures | ClipError]:
        """Features of each clip in their order, or the error that it raised."""
        outcomes: list[ClipFeatures | ClipError] = []
        with Fetched(clip.path for clip in clips) as fetched:
            decoded = self._threads.map(partial(self._decode, fetched), clips)
            while group := list(islice(decoded, CLIPS_PER_FORWARD)):
                media = [item for item in group if isinstance(item, Media)]
                features = iter(self._extractor.extract(media) if media else [])
                outcomes += [
                    item if isinstance(item, ClipError) else next(features) for item in group
                ]
        return outcomes

    def at_work(self) -> dict[str, float]:
        """Clips that are being fetched or decoded, by id, and for how many seconds.

        For another thread than the one in :meth:`extract`.
        """
        now = time.monotonic()
        return {clip_id: now - began for clip_id, began in self._began.copy().items()}

    def _prepare(self) -> None:
        """Set up a decoding thread: its decoder, and on a GPU its stream."""
        self._own.decoder = self._make_decoder()
        self._own.stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    def _decode(self, fetched: Fetched, clip: Clip) -> Media | ClipError:
        self._began[clip.id] = time.monotonic()
        try:
            with torch.cuda.stream(self._own.stream):  # no-op without one
                media = try_decode(self._own.decoder, clip, self._sampling, fetched)
                if self._own.stream is not None:
                    self._own.stream.synchronize()  # the networks' stream reads the frames
            return media
        finally:
            self._began.pop(clip.id, None)
