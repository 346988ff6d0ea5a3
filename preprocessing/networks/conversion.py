"""Weights in any published form become one safetensors file that says where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile, is_zipfile

from torch import Tensor

from preprocessing.errors import SetupError
from preprocessing.networks.reference_checks import Finding, smoke_test
from preprocessing.networks.weights import SOURCES, PublishedFile, WeightsName, sha256
from preprocessing.networks.weights.converted import Provenance, converted_file, digest, pack
from preprocessing.networks.weights.inception_archive import read_inception_archive
from preprocessing.networks.weights.readers import read_npz, read_state_dict
from preprocessing.networks.weights.tensorflow_checkpoint import is_checkpoint, read_checkpoint

VGGISH_VARIABLES = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3/conv3_1",
    "features.8": "conv3/conv3_2",
    "features.11": "conv4/conv4_1",
    "features.13": "conv4/conv4_2",
    "embeddings.0": "fc1/fc1_1",
    "embeddings.2": "fc1/fc1_2",
    "embeddings.4": "fc2",
}
"""Our name of each of VGGish's layers → that of ``vggish_slim.py`` in tensorflow/models."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What has been converted.

    Attributes:
        path: the new file.
        provenance: as it says in it.
        findings: of the smoke test, which all passed.
    """

    path: Path
    provenance: Provenance
    findings: list[Finding]


def convert(name: WeightsName, path: Path, folder: Path) -> Conversion:
    """Write ``folder/NAME.safetensors``, which ``--weights folder`` then finds.

    Args:
        name: whose weights they are.
        path: a published file: VGGish's TensorFlow checkpoint (of either version) or PyTorch
            port, the 2015 Inception's archive or PyTorch port, torchvision's Inception.
        folder: is made if it does not exist.

    Raises:
        SetupError: the file cannot be read, is another network's, or fails the smoke test.
    """
    file = path if path.is_file() else path.with_name(f"{path.name}.index")
    if not file.is_file():
        raise SetupError(f"{path}: is not there; what can be had is told by: avcmr weights list")
    hashed = sha256(file)
    source = _published(name, file, hashed)
    tensors = _read(name, path)
    findings = smoke_test(name, tensors)
    failed = [finding.what for finding in findings if not finding.passed]
    if failed:
        raise SetupError(
            f"{path}: these are not the weights of {name}: {'; '.join(failed)}; "
            "give another file, or another name"
        )
    provenance = Provenance(
        name=name,
        file=file.name,
        sha256=hashed,
        published=source.origin if source else "",
        licence=source.licence if source else "",
        tensors=digest(tensors),
        avcmr=metadata.version("avcmr"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{converted_file(name)}.part"
    aside.write_bytes(pack(tensors, provenance))
    return Conversion(aside.replace(folder / converted_file(name)), provenance, findings)


def _published(name: WeightsName, path: Path, hashed: str) -> PublishedFile | None:
    """The published file that this is, if it is one."""
    for other, sources in SOURCES.items():
        for source in sources:
            if hashed.startswith(source.sha256):
                if other != name:
                    raise SetupError(f"{path}: holds {other}: avcmr weights convert {other} {path}")
                return source
    return None


def _read(name: WeightsName, path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose kind is told by its content.

    Raises:
        SetupError: it cannot be read.
    """
    try:
        if is_checkpoint(path):
            return dict(_from_tensorflow(read_checkpoint(path)))
        members = ZipFile(path).namelist() if is_zipfile(path) else []
        if any(member.startswith("out_jit_module/") for member in members):
            return read_inception_archive(path)
        if members and all(member.endswith(".npy") for member in members):
            return read_npz(path)
        return read_state_dict(path)
    except Exception as error:  # a file of unknown origin: anything may be wrong with it
        # Only the first sentence: torch goes on to recommend an unpickler that runs code.
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise SetupError(
            f"{path}: cannot be read as weights of {name} ({reason[:200]}); fetch it again, or "
            "give a file that avcmr weights list names, or VGGish's TensorFlow checkpoint"
        ) from None


def _from_tensorflow(variables: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """VGGish's tensors from its variables; TensorFlow stores the output's dimension last."""
    for layer, scope in VGGISH_VARIABLES.items():
        weight = variables[f"vggish/{scope}/weights"]
        yield f"{layer}.weight", weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        yield f"{layer}.bias", variables[f"vggish/{scope}/biases"]
