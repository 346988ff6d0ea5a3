"""Decoded clips become features: both networks, with what comes before and after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from preprocessing.audio import example_times, vggish_examples
from preprocessing.decode import Sampling
from preprocessing.frames import to_inception_input
from preprocessing.inception import load_inception
from preprocessing.media import ClipFeatures, Media
from preprocessing.networks import optimized
from preprocessing.vggish import (
    dequantize,
    load_vggish,
    load_vggish_pca,
    quantize,
    untrained_vggish,
)
from preprocessing.weights import WeightsName, resolve

UNTRAINED_SEED = 0
FRAMES_PER_FORWARD = 32
"""Frames of one forward pass: enough to fill the cores, few enough to stay in the caches."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Which networks make the features.

    Attributes:
        weights: the user's folder of weights, searched first.
        untrained_audio: VGGish with seeded random weights and no PCA, for trials without its
            weights; everything made with it says so.
        audio_pca: put VGGish's output through its published PCA and 8-bit quantisation, as the
            published features are.
        vggish_relu: end VGGish with a ReLU, as the published features do.
    """

    weights: Path | None = None
    untrained_audio: bool = False
    audio_pca: bool = True
    vggish_relu: bool = True

    @property
    def has_pca(self) -> bool:
        """The published PCA belongs to the published weights."""
        return self.audio_pca and not self.untrained_audio

    def origins(self) -> dict[str, str]:
        """Name → sha256 of each file of weights, found (or downloaded) but not loaded.

        Raises:
            SetupError: weights are nowhere to be had.
        """
        names: list[WeightsName] = ["inception_v3_2015"]
        if not self.untrained_audio:
            names.append("vggish")
        if self.has_pca:
            names.append("vggish_pca")
        origins = {str(name): resolve(name, self.weights).sha256 for name in names}
        if self.untrained_audio:
            origins["vggish"] = f"untrained:seed={UNTRAINED_SEED}"
        return origins

    def describe(self, sampling: Sampling) -> dict[str, Any]:
        """Everything that decides the values of the features, for the feature store."""
        return {
            "frames_per_second": sampling.frames_per_second,
            "frame_size": sampling.frame_size,
            "visual": "inception_v3_2015 pool3",
            "audio": "vggish",
            "audio_relu": self.vggish_relu,
            "audio_postprocessing": "pca, 8 bit, dequantized" if self.has_pca else "none",
        }


class FeatureExtractor:
    """Both networks on one device.

    Frames and sound of several clips go through the networks together; the features of a clip do
    not depend on its company but for rounding.
    """

    def __init__(
        self,
        inception: nn.Module,
        vggish: nn.Module,
        vggish_pca: nn.Module | None,
        device: torch.device,
    ) -> None:
        self._device = device
        self._inception = optimized(inception).to(device)
        self._vggish = optimized(vggish).to(device)
        self._vggish_pca = vggish_pca.to(device) if vggish_pca else None

    @classmethod
    def load(cls, networks: Networks, device: torch.device | None = None) -> Self:
        """Load pretrained networks (or what ``networks`` says) onto a device, by default the CPU.

        Raises:
            SetupError: weights are nowhere to be had, or are not the published ones.
        """
        relu, folder = networks.vggish_relu, networks.weights
        return cls(
            inception=load_inception(folder)[0],
            vggish=(
                untrained_vggish(UNTRAINED_SEED, final_relu=relu)
                if networks.untrained_audio
                else load_vggish(folder, final_relu=relu)[0]
            ),
            vggish_pca=load_vggish_pca(folder)[0] if networks.has_pca else None,
            device=device or torch.device("cpu"),
        )

    @torch.inference_mode()
    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        """Features of some decoded clips, in their order."""
        frames = [torch.from_numpy(clip.frames) for clip in clips]
        visual = torch.cat(
            [
                self._inception(to_inception_input(frame_batch.to(self._device)))
                for frame_batch in torch.cat(frames).split(FRAMES_PER_FORWARD)
            ]
        )
        examples = [
            vggish_examples(torch.from_numpy(clip.waveform).to(self._device)) for clip in clips
        ]
        audio = torch.cat(
            [
                self._embed_sound(example_batch)
                for example_batch in torch.cat(examples).split(FRAMES_PER_FORWARD)
            ]
        )
        rows = zip(
            clips,
            visual.cpu().split([len(part) for part in frames]),
            audio.cpu().split([len(part) for part in examples]),
            strict=True,
        )
        return [
            ClipFeatures(
                visual=_own(clip_visual),
                visual_times=clip.frame_times,
                audio=_own(clip_audio),
                audio_times=example_times(len(clip_audio)),
                duration=clip.duration,
                source=clip.source,
            )
            for clip, clip_visual, clip_audio in rows
        ]

    def _embed_sound(self, examples: Tensor) -> Tensor:
        embeddings: Tensor = self._vggish(examples)
        if self._vggish_pca is None:
            return embeddings
        return dequantize(quantize(self._vggish_pca(embeddings)))


def _own(rows: Tensor) -> NDArray[np.float32]:
    # A copy, so that keeping one clip does not keep its whole batch.
    return rows.numpy().copy()
