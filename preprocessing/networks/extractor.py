"""Features of decoded clips: both networks with their pre- and postprocessing."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.media import Sampling
from preprocessing.media.types import ClipFeatures, Frames, Media
from preprocessing.networks.frames import resize, to_inception_input
from preprocessing.networks.inception import Inception, InceptionName, load_inception
from preprocessing.networks.loading import optimized
from preprocessing.networks.log_mel import example_times, vggish_examples
from preprocessing.networks.quantization import dequantize, quantize
from preprocessing.networks.vggish import (
    VGGish,
    VGGishPCA,
    load_vggish,
    load_vggish_pca,
    untrained_vggish,
)
from preprocessing.networks.weights import Report, WeightsName, resolve

Precision = Literal["float32", "bfloat16"]

_logger = logging.getLogger(__name__)

_UNTRAINED_SEED = 0

_FRAMES_PER_FORWARD: Mapping[str, int] = {"cpu": 8, "cuda": 256}
"""Batch size by device: fills a GPU; on the CPU, small enough for its caches."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Which networks compute the features.

    Attributes:
        weights: the user's folder of weights, searched first.
        visual: which Inception-v3.
        untrained_audio: VGGish with seeded random weights and no PCA, to try the pipeline without
            its weights; the feature store records it.
        audio_pca: put VGGish's output through its published PCA and 8-bit quantisation, as the
            published features are.
        vggish_relu: end VGGish with a ReLU, as the published features do.
        precision: of the networks' arithmetic. float32 is exact on every device (no TF32);
            bfloat16 is faster where the hardware has it, and good to about 1 % of a feature.
    """

    weights: Path | None = None
    visual: InceptionName = "inception_v3_2015"
    untrained_audio: bool = False
    audio_pca: bool = True
    vggish_relu: bool = True
    precision: Precision = "float32"

    @property
    def has_pca(self) -> bool:
        """The published PCA belongs to the published weights."""
        return self.audio_pca and not self.untrained_audio

    def origins(self, report: Report = _logger.info) -> dict[str, str]:
        """Name → sha256 of each file of weights, found (or downloaded) but not loaded.

        Raises:
            SetupError: weights are not available.
        """
        names: list[WeightsName] = [self.visual]
        if not self.untrained_audio:
            names.append("vggish")
        if self.has_pca:
            names.append("vggish_pca")
        origins = {str(name): resolve(name, self.weights, report=report).sha256 for name in names}
        if self.untrained_audio:
            origins["vggish"] = f"untrained:seed={_UNTRAINED_SEED}"
        return origins

    @classmethod
    def described(
        cls, config: Mapping[str, Any], origins: Mapping[str, str], weights: Path | None = None
    ) -> tuple[Self, Sampling]:
        """The networks and the sampling that a feature store was made with, from its provenance.

        Takes what :meth:`describe` and :meth:`origins` returned.

        Raises:
            ValueError: the store was not made by networks of avcmr.
        """
        visual = str(config.get("visual", "")).removesuffix(" pool3")
        if visual not in get_args(InceptionName) or config.get("audio") != "vggish":
            raise ValueError("not made by networks of avcmr")
        networks = cls(
            weights=weights,
            visual=cast(InceptionName, visual),
            untrained_audio=origins.get("vggish", "").startswith("untrained"),
            audio_pca=config["audio_postprocessing"] != "none",
            vggish_relu=config["audio_relu"],
            precision=config["precision"],
        )
        return networks, Sampling(
            frames_per_second=config["frames_per_second"],
            frame_size=config["frame_size"],
            key_frames=config["frames"] == "nearest key frame",
        )

    def describe(self, sampling: Sampling) -> dict[str, Any]:
        """All settings that affect the features, for the feature store's provenance."""
        return {
            "frames_per_second": sampling.frames_per_second,
            "frame_size": sampling.frame_size,
            "frames": "nearest key frame" if sampling.key_frames else "as shown",
            "visual": f"{self.visual} pool3",
            "audio": "vggish",
            "audio_resampling": "kaiser_best",
            "audio_relu": self.vggish_relu,
            "audio_postprocessing": "pca, 8 bit, dequantized" if self.has_pca else "none",
            "precision": self.precision,
        }


class FeatureExtractor:
    """Both networks on one device.

    Frames and waveforms of several clips are batched. The features of a clip do not depend on the
    other clips in the batch: bit-exactly on the CPU, up to rounding on a GPU.
    """

    def __init__(
        self,
        inception: Inception,
        vggish: VGGish,
        vggish_pca: VGGishPCA | None,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self._device = device
        self._dtype: torch.dtype = getattr(torch, precision)
        self._grey = inception.GREY
        self._inception = optimized(inception).to(device, self._dtype)
        self._vggish = optimized(vggish).to(device, self._dtype)
        self._vggish_pca = vggish_pca.to(device) if vggish_pca else None

    @classmethod
    def load(cls, networks: Networks, device: torch.device | None = None) -> Self:
        """Load the networks onto a device, by default the CPU.

        Raises:
            SetupError: weights are not available, or are not the published ones.
        """
        relu, folder = networks.vggish_relu, networks.weights
        return cls(
            inception=load_inception(networks.visual, folder),
            vggish=(
                untrained_vggish(_UNTRAINED_SEED, final_relu=relu)
                if networks.untrained_audio
                else load_vggish(folder, final_relu=relu)
            ),
            vggish_pca=load_vggish_pca(folder) if networks.has_pca else None,
            device=device or torch.device("cpu"),
            precision=networks.precision,
        )

    @torch.inference_mode()
    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        """Features of decoded clips, in their order."""
        frames = [resize(torch.as_tensor(clip.frames, device=self._device)) for clip in clips]
        examples = [
            vggish_examples(torch.as_tensor(clip.waveform, device=self._device)) for clip in clips
        ]
        visual = self._in_padded_batches(self._embed_frames, torch.cat(frames))
        audio = self._in_padded_batches(self._embed_audio, torch.cat(examples))
        rows = zip(
            clips,
            visual.cpu().split([len(part) for part in frames]),
            audio.cpu().split([len(part) for part in examples]),
            strict=True,
        )
        return [
            ClipFeatures(
                visual=_copied(clip_visual),
                visual_times=clip.frame_times,
                audio=_copied(clip_audio),
                audio_times=example_times(len(clip_audio)),
                duration=clip.duration,
                source=clip.source,
                damage=clip.damage,
            )
            for clip, clip_visual, clip_audio in rows
        ]

    @torch.inference_mode()
    def extract_visual(self, frames: Frames) -> NDArray[np.float32]:
        """Features (T, D) of frames (T, H, W, 3) without audio, equal to :meth:`extract`'s up
        to rounding, and faster: small batches are not padded.

        Args:
            frames: uint8 RGB.
        """
        resized = resize(torch.as_tensor(frames, device=self._device))
        return _copied(self._in_batches(self._embed_frames, resized).cpu())

    @torch.inference_mode()
    def extract_audio(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (N, 128) of audio without frames, one row per 0.96 s; likewise.

        Args:
            waveform: (S,) mono at 16 kHz, in [-1, 1].
        """
        examples = vggish_examples(torch.as_tensor(waveform, device=self._device))
        return _copied(self._in_batches(self._embed_audio, examples).cpu())

    def _in_padded_batches(self, embed: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        count = len(rows)
        if self._device.type == "cpu":
            # Kernels are chosen by shape and round differently, so all batches get the same shape.
            # On a GPU, whose batches are large, the padding would cost too much.
            missing = -count % _FRAMES_PER_FORWARD["cpu"]
            rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])
        return self._in_batches(embed, rows)[:count]

    def _in_batches(self, embed: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        size = _FRAMES_PER_FORWARD[self._device.type]
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            return torch.cat([embed(batch) for batch in rows.split(size)])

    def _embed_frames(self, frames: Tensor) -> Tensor:
        pool3: Tensor = self._inception(to_inception_input(frames, grey=self._grey).to(self._dtype))
        return pool3.float()

    def _embed_audio(self, examples: Tensor) -> Tensor:
        embeddings: Tensor = self._vggish(examples.to(self._dtype)).float()
        if self._vggish_pca is None:
            return embeddings
        return dequantize(quantize(self._vggish_pca(embeddings)))


def _copied(rows: Tensor) -> NDArray[np.float32]:
    # A copy, so that keeping one clip does not keep its whole batch in memory.
    return rows.numpy().copy()
