"""How many actors an extraction has, and what each takes of the cluster."""

from dataclasses import dataclass
from typing import Self

from raytasks.cluster import Cluster

EXTRACTOR_BYTES = 2 << 30
"""Memory of a process with both networks on the CPU, and of the clips that are with it."""

EXTRACTORS_PER_GPU = 2
"""While one decodes its next clips or hands over features, the other computes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many actors there are and what each takes of the cluster.

    Attributes:
        decoders: processes that decode, on the CPU.
        extractors: processes that hold the networks.
        decoder_cpus: share of a core each decoder reserves.
        extractor_cpus: cores each extractor reserves.
        extractor_gpus: share of a GPU each extractor reserves.
        threads: torch threads of each extractor.
    """

    decoders: int
    extractors: int
    decoder_cpus: float
    extractor_cpus: float
    extractor_gpus: float
    threads: int

    @classmethod
    def fitting(cls, cluster: Cluster) -> Self:
        """Networks on the GPUs and decoders on the cores; without GPUs, both share every core."""
        cpus = max(cluster.cpus, 1)
        if cluster.gpus:
            extractors = EXTRACTORS_PER_GPU * cluster.gpus
            return cls(
                decoders=cpus,
                extractors=extractors,
                decoder_cpus=0.5,
                extractor_cpus=0.5 * cpus / extractors,
                extractor_gpus=1 / EXTRACTORS_PER_GPU,
                threads=1,
            )
        # One thread each: threads of one network wait for each other at every layer, and the
        # decoders beside them make that wait long. As many as the memory holds.
        extractors = min(cpus, max(1, cluster.memory // EXTRACTOR_BYTES))
        threads = cpus // extractors
        return cls(
            decoders=cpus,
            extractors=extractors,
            decoder_cpus=0.5,
            extractor_cpus=threads / 2,
            extractor_gpus=0,
            threads=threads,
        )
