"""Every decoder of this machine, one after the other."""

import pytest

from preprocessing.errors import SetupError
from preprocessing.media import DECODERS, Decoder


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=[pytest.mark.gpu] if backend.on_gpu else [])
        for name, backend in DECODERS.items()
    ],
)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    try:
        return DECODERS[request.param].make()
    except SetupError as error:
        pytest.skip(str(error))
