"""Texts in HDF5, also file names that are no UTF-8: Python keeps their bytes as surrogates."""

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

ODD_BYTES = "surrogateescape"


def text_array(texts: Iterable[str]) -> NDArray[Any]:
    """An array that HDF5 can write."""
    encoded = [text.encode("utf-8", ODD_BYTES) for text in texts]
    return np.array(encoded, dtype=h5py.string_dtype())


def read_texts(dataset: h5py.Dataset) -> list[str]:
    """What was written."""
    texts: list[str] = dataset.asstr(errors=ODD_BYTES)[()].tolist()
    return texts
