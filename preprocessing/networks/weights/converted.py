"""Our own file of weights: safetensors, with where they come from in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from preprocessing.errors import SetupError
from preprocessing.networks.weights.sources import WeightsName

_KEY = "avcmr-weights"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where converted weights come from.

    Attributes:
        name: which network's they are.
        file: name of the file that was converted,
        sha256: its hash, and
        published: where such a file is published; empty if its hash is not that of a published
            one.
        licence: under which; empty if it is not known.
        tensors: hash of the tensors, which tells damage.
        avcmr: the version that converted them.
    """

    name: WeightsName
    file: str
    sha256: str
    published: str
    licence: str
    tensors: str
    avcmr: str = metadata.version("avcmr")


def converted_file(name: WeightsName) -> str:
    """What a converted file is called, and looked for as."""
    return f"{name}.safetensors"


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and values, whatever their order."""
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def pack(tensors: Mapping[str, Tensor], provenance: Provenance) -> bytes:
    """The bytes of a converted file."""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(whole, metadata={_KEY: json.dumps(asdict(provenance))})


def read_converted(path: Path) -> dict[str, Tensor]:
    """The tensors of a converted file."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_provenance(path: Path, name: WeightsName) -> Provenance:
    """Where the weights in a converted file come from.

    Raises:
        SetupError: it is damaged, or not a converted file of these weights.
    """
    try:
        with safe_open(path, "pt") as file:
            provenance = Provenance(**json.loads((file.metadata() or {})[_KEY]))
        damaged = provenance.tensors != digest(read_converted(path))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise SetupError(
            f"{path}: not a file that avcmr has converted ({error}); "
            f"make one with: avcmr weights convert {name} FILE"
        ) from None
    if provenance.name != name:
        raise SetupError(f"{path}: holds {provenance.name}; rename it to that, or take it away")
    if damaged:
        raise SetupError(f"{path}: damaged; convert {provenance.file} again")
    return provenance
