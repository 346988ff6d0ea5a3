"""Actors fit what the machines have."""

import pytest

from raytasks.cluster import Cluster
from raytasks.extraction.layout import Layout


@pytest.mark.parametrize(
    ("cpus", "gpus"), [(1, 0), (2, 0), (3, 0), (6, 0), (64, 0), (8, 1), (32, 8), (1, 1)]
)
def test_layouts_fit_their_machine(cpus: int, gpus: int) -> None:
    beside = cpus / gpus if gpus else 0
    layout = Layout.fitting(Cluster(cpus, gpus, 8 << 30, "", cpus_beside_gpu=beside))
    reserved = layout.decoders * layout.decoder_cpus + layout.extractors * layout.extractor_cpus
    assert 0.5 * cpus <= reserved <= cpus + 1e-9
    assert layout.extractors * layout.extractor_gpus == gpus
    assert layout.decoders >= 1
    assert layout.extractors >= 1


def test_extractors_fit_beside_their_gpus() -> None:
    """Eight GPUs on a machine of eight cores, in a cluster that has many more elsewhere."""
    layout = Layout.fitting(Cluster(72, 8, 8 << 30, "", cpus_beside_gpu=1))
    assert layout.extractors * layout.extractor_cpus <= 8
    assert layout.decoders * layout.decoder_cpus >= 60
