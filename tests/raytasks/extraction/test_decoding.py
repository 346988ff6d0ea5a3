"""Who decodes, by backend and by what the cluster has."""

import pytest

from preprocessing.errors import SetupError
from preprocessing.media import DECODERS, PyAVDecoder
from raytasks.cluster import Cluster
from raytasks.extraction.decoding import Decoding, describe

CPU = Cluster(cpus=4, gpus=0, memory=8 << 30, dashboard="")
GPU = Cluster(cpus=4, gpus=1, memory=8 << 30, dashboard="", cpus_beside_gpu=4)
ON_GPU = sorted(name for name, backend in DECODERS.items() if backend.on_gpu)


def test_on_cores_alone_each_process_decodes_and_computes() -> None:
    decoding = Decoding.fitting(DECODERS["pyav"], CPU, beside=True)
    assert decoding == Decoding(DECODERS["pyav"].make, DECODERS["pyav"].make, beside=False)


def test_cores_decode_for_the_networks_on_a_gpu() -> None:
    decoding = Decoding.fitting(DECODERS["pyav"], GPU, beside=False)
    assert decoding == Decoding(DECODERS["pyav"].make, own_decoder=None, beside=True)


@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("beside", [True, False])
def test_a_decoder_on_the_gpu_leaves_what_it_refuses_to_the_cores(name: str, beside: bool) -> None:
    backend = DECODERS[name]
    assert Decoding.fitting(backend, GPU, beside=beside) == Decoding(
        DECODERS["pyav"].make, backend.make, beside
    )
    with pytest.raises(SetupError, match=r"needs a GPU.*--decoder pyav"):
        Decoding.fitting(backend, CPU, beside=beside)


def test_by_default_pyav_decodes() -> None:
    assert Decoding() == Decoding(PyAVDecoder, PyAVDecoder, beside=False)


def test_the_store_names_all_that_may_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    pyav = DECODERS["pyav"]
    assert describe(pyav) == pyav.describe()
