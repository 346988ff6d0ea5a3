"""How many actors an extraction has, and what each takes of the cluster."""

from dataclasses import dataclass
from typing import Self

from preprocessing.networks.extract_clip import CLIPS_PER_FORWARD
from raytasks.cluster import Cluster

EXTRACTOR_BYTES = 2 << 30
"""Memory of a process with both networks on the CPU, and of the clips that are with it."""

EXTRACTORS_PER_GPU = 2
"""While one begins to decode its next clips or hands over features, the other computes."""

CLIPS_AT_ONCE = 8
"""A GPU's decoding engines (an H200 has seven) work side by side, each on one clip."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many actors there are and what each takes of the cluster.

    Attributes:
        decoders: processes that only decode, on the CPU.
        extractors: processes that hold the networks, and decode if they can on their device.
        decoder_cpus: share of a core each decoder reserves.
        extractor_cpus: cores each extractor reserves.
        extractor_gpus: share of a GPU each extractor reserves.
        threads: torch threads of each extractor.
        clips_at_once: clips that an extractor decodes side by side,
        clips_per_call: and how many it is given at a time.
    """

    decoders: int
    extractors: int
    decoder_cpus: float
    extractor_cpus: float
    extractor_gpus: float
    threads: int
    clips_at_once: int
    clips_per_call: int

    @classmethod
    def fitting(cls, cluster: Cluster) -> Self:
        """Networks on the GPUs and decoders on the cores; or both in one process for each core.

        On the CPU a process that decodes and computes in turn keeps its core busy, and no frame
        is copied to another process. One decoder is for clips that have killed such a process; it
        reserves nothing, so that it finds a place though every core of every machine is taken.
        """
        cpus = max(cluster.cpus, 1)
        if cluster.gpus:
            extractors = EXTRACTORS_PER_GPU * cluster.gpus
            extractor_cpus = 0.5 * cluster.cpus_beside_gpu / EXTRACTORS_PER_GPU
            return cls(
                decoders=max(1, int((cpus - extractors * extractor_cpus) / 0.5)),
                extractors=extractors,
                decoder_cpus=0.5,
                extractor_cpus=extractor_cpus,
                extractor_gpus=1 / EXTRACTORS_PER_GPU,
                threads=1,
                clips_at_once=CLIPS_AT_ONCE,
                clips_per_call=4 * CLIPS_AT_ONCE,
            )
        # One thread each where memory allows: threads of one network wait for each other at every
        # layer, and whatever else runs on their cores makes that wait long.
        extractors = min(cpus, max(1, cluster.memory // EXTRACTOR_BYTES))
        threads = cpus // extractors
        return cls(
            decoders=1,
            extractors=extractors,
            decoder_cpus=0,
            extractor_cpus=threads,  # whole cores: machines have no others to give
            extractor_gpus=0,
            threads=threads,
            clips_at_once=1,
            clips_per_call=CLIPS_PER_FORWARD,
        )
