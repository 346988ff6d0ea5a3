"""Who decodes: processes of their own, the extractors, or both side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from preprocessing.errors import SetupError
from preprocessing.media import DECODERS, Backend, Decoder, PyAVDecoder
from raytasks.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Decoding:
    """Who decodes, and with what.

    Attributes:
        decoder: makes the decoder of a decoding process, on the CPU.
        own_decoder: makes the decoders of the extractors, for the device of the networks; None
            if these do not decode. If it is not ``decoder``, clips that it refuses are passed to
            ``decoder``, whose verdict counts.
        beside: whether decoding processes take any clip, and not just those that an extractor
            has refused or died of.
    """

    decoder: Callable[[], Decoder] = PyAVDecoder
    own_decoder: Callable[[], Decoder] | None = PyAVDecoder
    beside: bool = False

    @classmethod
    def fitting(cls, backend: Backend, cluster: Cluster, *, beside: bool) -> Self:
        """On the GPU, and with ``beside`` on the cores as well; or on the cores alone.

        Raises:
            SetupError: the backend needs a GPU, and the cluster has none.
        """
        if backend.on_gpu:
            if not cluster.gpus:
                raise SetupError("this decoder needs a GPU, and Ray sees none; use --decoder pyav")
            return cls(DECODERS["pyav"].make, backend.make, beside)
        if cluster.gpus:  # the networks are too fast to wait for frames
            return cls(backend.make, own_decoder=None, beside=True)
        return cls(backend.make, backend.make)


def describe(backend: Backend) -> str:
    """All that may decode a clip, for the feature store."""
    described = backend.describe()
    return f"{described}; {DECODERS['pyav'].describe()}" if backend.on_gpu else described
