"""The processes of an extraction: some decode, others hold the networks."""

from collections.abc import Callable, Sequence

import ray
import torch

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Decoder, Sampling
from preprocessing.media.outcome import try_decode
from preprocessing.media.types import ClipFeatures, Media
from preprocessing.networks.extract_clip import DirectExtractor, Extractor
from preprocessing.remote import Fetched
from raytasks.extraction.layout import Layout
from raytasks.extraction.memory_guard import MemoryGuard
from raytasks.monitoring.metrics import Stopwatch, TimedDecoder, TimedExtractor


@ray.remote(max_restarts=0)
class DecodeActor:
    """Decodes one clip at a time, in a process that a clip may kill."""

    def __init__(self, make_decoder: Callable[[], Decoder], sampling: Sampling) -> None:
        torch.set_num_threads(1)
        self._make_decoder = make_decoder
        self._sampling = sampling
        self._guard = MemoryGuard()

    def ready(self) -> None:
        """Make the decoder; called once, first.

        Raises:
            SetupError: this machine lacks something that it needs.
        """
        self._decoder = TimedDecoder(self._make_decoder(), Stopwatch())

    @ray.method(num_returns=2)
    def decode(self, clip: Clip) -> tuple[ClipError | None, Media | None]:
        """What is wrong with the clip, for the driver; and the media, which it never fetches.

        Raises:
            MemoryError: it takes too much memory, and this process must end.
        """
        with Fetched([clip.path]) as fetched:
            media = self._guard.run(
                lambda: try_decode(self._decoder, clip, self._sampling, fetched)
            )
        return (media, None) if isinstance(media, ClipError) else (None, media)


@ray.remote(max_restarts=0)
class ExtractActor:
    """Holds the networks on one device, and a decoder if it decodes as well.

    Args:
        load: loads the networks onto a device.
        layout: threads, and how many clips it decodes at once.
        make_decoder: makes a decoder that works on the same device, or None.
        sampling: how that decoder samples.
    """

    def __init__(
        self,
        load: Callable[[torch.device], Extractor],
        layout: Layout,
        make_decoder: Callable[[], Decoder] | None,
        sampling: Sampling,
    ) -> None:
        torch.set_num_threads(layout.threads)
        self._load = load
        self._layout = layout
        self._make_decoder = make_decoder
        self._sampling = sampling
        self._guard = MemoryGuard()

    def ready(self) -> None:
        """Load the networks and make the decoders; called once, first.

        Raises:
            SetupError: this machine lacks something that they need.
        """
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        stopwatch = Stopwatch()
        make_decoder = self._make_decoder
        self._extractor = TimedExtractor(self._load(device), stopwatch)
        self._direct = make_decoder and DirectExtractor(
            lambda: TimedDecoder(make_decoder(), stopwatch),
            self._extractor,
            self._sampling,
            device,
            self._layout.clips_at_once,
        )

    def extract(self, *items: Clip | Media) -> list[ClipFeatures | ClipError]:
        """Features of some clips, all of them decoded or none; or what is wrong with them.

        Raises:
            MemoryError: they take too much memory, and this process must end.
        """
        return self._guard.run(lambda: self._extract(items))

    def at_work(self) -> dict[str, float]:
        """Clips that are being decoded here, by id, and for how many seconds."""
        return self._direct.at_work() if self._direct else {}

    def _extract(self, items: Sequence[Clip | Media]) -> list[ClipFeatures | ClipError]:
        media = [item for item in items if isinstance(item, Media)]
        if media or not self._direct:
            return [*self._extractor.extract(media)]
        return self._direct.extract([item for item in items if isinstance(item, Clip)])
