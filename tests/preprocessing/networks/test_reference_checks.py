"""Networks with the right weights pass the checks, others fail them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from preprocessing.networks import reference_checks
from preprocessing.networks.inception import Inception2015, InceptionImageNet
from preprocessing.networks.reference_checks import check_weights
from preprocessing.networks.vggish import VGGish
from preprocessing.networks.weights import WeightsName
from preprocessing.networks.weights.readers import read_state_dict


def test_input() -> None:
    seconds = np.arange(3 * 16_000) / 16_000
    tone = np.sin(2 * np.pi * 1000 * seconds)
    np.testing.assert_allclose(reference_checks._tone(), tone, atol=1e-6)
    frame = reference_checks._stripes()
    assert frame.shape == (1, 299, 299, 3)
    assert frame[0, 100, 200, 2] == (300 + 1000 + 80) % 256


class TestVGGish:
    def test_published_values_are_those_of_the_original(self, assets: Path) -> None:
        file = assets / "vggish" / "smoke_test_expected.json"
        published = json.loads(file.read_text())
        for relu, release in ((True, "old"), (False, "current")):
            one = published[release]
            keys = ("embedding_mean", "embedding_std", "postprocessed_mean", "postprocessed_std")
            assert reference_checks._VGGISH_VALUES[relu] == tuple(one[key] for key in keys)

    def test_passes_with_the_published_statistics_only(self) -> None:
        """Networks that give the same embedding for every waveform."""
        with torch.device("meta"):
            shapes = VGGish().state_dict()
        zeros = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}
        # Mean and standard deviation are .00066 and .343; after a ReLU .131 and .237.
        bias = torch.cat([torch.full((30,), 0.559), torch.full((50,), -0.3337), torch.zeros(48)])
        right = check_weights("vggish", zeros | {"embeddings.4.bias": bias})
        assert [one.passed for one in right] == [True] * 4
        wrong = check_weights("vggish", zeros | {"embeddings.4.bias": 1.2 * bias})
        assert [one.passed for one in wrong] == [False, False, True, False]
        pca = {"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}
        coded = check_weights("vggish", zeros | {"embeddings.4.bias": bias}, pca)
        assert [one.passed for one in coded if "8-bit" in one.what] == [False, False, True, False]

    def test_a_pca_of_another_shape(self) -> None:
        right = {"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}
        assert all(one.passed for one in check_weights("vggish_pca", right))
        wrong = right | {"pca_means": torch.zeros(128, 1)}
        assert not any(one.passed for one in check_weights("vggish_pca", wrong))


class TestInception:
    @pytest.mark.parametrize("counters", [False, True])  # written by torch since 0.4.1
    def test_a_state_dict_such_as_pytorch_fid_s(
        self, tmp_path: Path, assets: Path, counters: bool
    ) -> None:
        state = _published_state(assets, counters=counters)
        head = {"fc.weight": torch.ones(1008, 2048), "fc.bias": torch.ones(1008)}
        torch.save(state | head, tmp_path / "pt_inception.pth")
        tensors = read_state_dict(tmp_path / "pt_inception.pth")
        findings = check_weights("inception_v3_2015", tensors)
        assert [one.passed for one in findings] == [True] * 4
        tensors["Conv2d_1a_3x3.conv.weight"] *= 1.1
        assert not all(one.passed for one in check_weights("inception_v3_2015", tensors))

    @pytest.mark.parametrize("architecture", [Inception2015, InceptionImageNet])
    def test_other_weights(self, architecture: type[torch.nn.Module]) -> None:
        """Zeros fail where values are known; a missing tensor fails everywhere."""
        name: WeightsName = (
            "inception_v3_2015" if architecture is Inception2015 else "inception_v3_imagenet"
        )
        with torch.device("meta"):
            shapes = architecture().state_dict()
        tensors = {key: torch.zeros(tensor.shape) for key, tensor in shapes.items()}
        known = architecture is Inception2015
        assert all(one.passed for one in check_weights(name, tensors)) != known
        del tensors["Mixed_7c.branch1x1.conv.weight"]
        missing = check_weights(name, tensors)
        assert [one.passed for one in missing] == [False]
        assert "does not fit" in missing[0].what


def _published_state(assets: Path, *, counters: bool) -> dict[str, Tensor]:
    original = load_file(assets / "inception" / "inception_v3_20151205_notop_fp16.safetensors")
    state = {name: tensor.float() for name, tensor in original.items()}
    for name in [name for name in state if name.endswith(".bn.bias")]:
        norm = name.removesuffix(".bias")
        state[f"{norm}.weight"] = torch.ones_like(state[name])
        if counters:
            state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return state
