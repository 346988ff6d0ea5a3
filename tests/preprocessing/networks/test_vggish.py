"""VGGish and its PCA against published values."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from preprocessing.networks.log_mel import vggish_examples
from preprocessing.networks.quantization import dequantize, quantize
from preprocessing.networks.vggish import VGGish, VGGishPCA, load_vggish, untrained_vggish
from preprocessing.networks.weights import find
from preprocessing.networks.weights.readers import read_npz


@pytest.fixture(scope="module")
def untrained() -> VGGish:
    return untrained_vggish(seed=0)


@pytest.fixture
def pca(assets: Path) -> VGGishPCA:
    return VGGishPCA(**read_npz(assets / "vggish" / "vggish_pca_params.npz"))


def _embed(network: VGGish, waveform: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(vggish_examples(waveform))


def _tone(hertz: float, seconds: float = 3.0) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * 16_000)) / 16_000)


class TestArchitecture:
    def test_parameters(self) -> None:
        with torch.device("meta"):
            network = VGGish()
        assert sum(p.numel() for p in network.parameters()) == 72_141_184
        assert sum(p.numel() for p in network.features.parameters()) == 4_499_712

    def test_tensor_names_are_the_public_port_s(self) -> None:
        with torch.device("meta"):
            names = VGGish().state_dict().keys()
        layers = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)]
        layers += [f"embeddings.{i}" for i in (0, 2, 4)]
        assert set(names) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}

    def test_dense_layers_see_channels_last(self, untrained: VGGish) -> None:
        examples = vggish_examples(_tone(440, 1.0))
        with torch.inference_mode():
            maps = untrained.features(examples)  # (1, 512, 6, 4)
            flat = torch.stack(
                [maps[0, :, row, column] for row in range(6) for column in range(4)]
            ).reshape(1, -1)
            assert torch.equal(untrained(examples), untrained.embeddings(flat))


class TestUntrained:
    def test_same_seed_same_weights_and_global_state_untouched(self, untrained: VGGish) -> None:
        state = torch.random.get_rng_state()
        again = untrained_vggish(seed=0)
        other = untrained_vggish(seed=1)
        assert torch.equal(torch.random.get_rng_state(), state)
        for layer in ("features.0.weight", "embeddings.4.weight"):
            assert torch.equal(untrained.state_dict()[layer], again.state_dict()[layer])
            assert not torch.equal(untrained.state_dict()[layer], other.state_dict()[layer])

    def test_activations_keep_their_scale(self, untrained: VGGish) -> None:
        noise = torch.randn(48_000, generator=torch.Generator().manual_seed(0))
        assert 0.1 < _embed(untrained, noise).std() < 10

    def test_a_tone_is_not_noise(self, untrained: VGGish) -> None:
        noise = torch.rand(48_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
        tones, noises = _embed(untrained, _tone(1000)), _embed(untrained, noise)
        within = max(torch.pdist(tones).max(), torch.pdist(noises).max())
        assert torch.cdist(tones, noises).min() > 2 * within

    def test_final_relu_clips_and_nothing_else(self, untrained: VGGish) -> None:
        linear = VGGish(final_relu=False)
        linear.load_state_dict(untrained.state_dict())
        with_relu, without = _embed(untrained, _tone(1000)), _embed(linear, _tone(1000))
        assert without.min() < 0
        assert torch.equal(with_relu, without.clamp(min=0))


class TestPostprocessing:
    def test_published_clip(self, assets: Path, pca: VGGishPCA) -> None:
        expected = np.load(assets / "vggish" / "ref_v_GGSY1Qvo990_expected.npz")
        projected = pca(torch.from_numpy(expected["raw_embedding"]))
        np.testing.assert_allclose(projected.numpy(), expected["pca"], atol=2e-5)
        np.testing.assert_array_equal(quantize(projected).numpy(), expected["quantized"])

    def test_quantize_clips_and_rounds_down(self) -> None:
        step = 4 / 255
        values = torch.tensor([-9.0, -2.0, -2 + 0.9 * step, -2 + 1.1 * step, 1.999, 2.0, 9.0])
        codes = quantize(values)
        assert codes.dtype == torch.uint8
        assert codes.tolist() == [0, 0, 0, 1, 254, 255, 255]

    def test_dequantize_is_within_half_a_step(self) -> None:
        values = torch.linspace(-2, 1.999, 1000)
        assert (dequantize(quantize(values)) - values).abs().max() < 0.51 * 4 / 255

    def test_every_code_survives(self) -> None:
        codes = torch.arange(255, dtype=torch.uint8)
        assert torch.equal(quantize(dequantize(codes)), codes)


@pytest.fixture(scope="module")
def published() -> VGGish:
    """The pretrained network, where its weights are; never downloads."""
    if find("vggish") is None:
        pytest.skip("needs VGGish's weights in $AVCMR_WEIGHTS or the cache (288 MB)")
    return load_vggish()


class TestPublishedWeights:
    def test_published_clip(self, assets: Path, published: VGGish) -> None:
        clip = assets / "clips" / "other" / "video_features__v_GGSY1Qvo990.mp4"
        expected = np.load(assets / "vggish" / "ref_v_GGSY1Qvo990_expected.npz")["raw_embedding"]
        embeddings = _embed(published, _decode(clip))[: len(expected)]
        cosines = torch.cosine_similarity(embeddings, torch.from_numpy(expected))
        assert len(embeddings) == len(expected)
        assert cosines.min() > 0.99

    @pytest.mark.parametrize("release", ["old", "current"])
    def test_smoke_values(
        self, assets: Path, pca: VGGishPCA, published: VGGish, release: str
    ) -> None:
        expected = json.loads((assets / "vggish" / "smoke_test_expected.json").read_text())[release]
        network = VGGish(final_relu=release == "old")
        network.load_state_dict(published.state_dict())
        embeddings = _embed(network, _tone(1000))
        codes = quantize(pca(embeddings)).double()
        assert embeddings.mean().item() == pytest.approx(
            expected["embedding_mean"], rel=0.1, abs=1e-3
        )
        assert embeddings.std().item() == pytest.approx(expected["embedding_std"], rel=0.1)
        assert codes.mean().item() == pytest.approx(expected["postprocessed_mean"], rel=0.1)
        assert codes.std().item() == pytest.approx(expected["postprocessed_std"], rel=0.1)


def _decode(path: Path) -> Tensor:
    """Sound of a clip as mono at 16 kHz; channels averaged here, since PyAV's mixing scales."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        planes = [frame.to_ndarray() for frame in container.decode(stream)]  # float planar (AAC)
        rate = stream.rate
    mono = torch.from_numpy(np.concatenate(planes, axis=1).mean(axis=0))
    return torchaudio.functional.resample(mono, rate, 16_000)
