"""avcmr weights: what it prints and how it ends."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.cli.weights import NEEDED
from preprocessing.networks.weights import SOURCES, PublishedFile, search
from preprocessing.networks.weights.readers import read_npz


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where vggish_pca's file is published: a folder. Nothing else is anywhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "_packaged", lambda source: [])
    for variable in ("AVCMR_WEIGHTS", "AVCMR_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "published" / "pca.npz"
    path.parent.mkdir()
    np.savez(path, pca_eigen_vectors=np.eye(128), pca_means=np.zeros(128))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    source = PublishedFile(
        path.name, sha256, 0.1, "CC0", read_npz, url="http://127.0.0.1:1/pca.npz"
    )
    monkeypatch.setitem(SOURCES, "vggish_pca", (source,))
    return path


def avcmr(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["weights", *map(str, arguments)])


def test_list_get_and_verify(published: Path, tmp_path: Path) -> None:
    assert "vggish_pca: not on this machine\n    pca.npz, 0.1 MB, CC0" in avcmr("list").stdout
    absent = avcmr("verify", "vggish_pca")
    assert (absent.exit_code, absent.stdout) == (2, "")
    assert "fetch it: avcmr weights get vggish_pca" in absent.stderr

    unreachable = avcmr("get", "vggish_pca")
    assert unreachable.exit_code == 2
    assert "http://127.0.0.1:1/pca.npz (" in unreachable.stderr
    fetched = avcmr("get", "vggish_pca", "--mirror", published.parent.as_uri())
    path = Path(fetched.stdout.strip())
    assert f"downloading {published.as_uri()}: 0.0 of 0.1 MB" in fetched.stderr
    assert path.read_bytes() == published.read_bytes()

    rows = {row["name"]: row for row in json.loads(avcmr("list", "--json").stdout)}
    assert set(rows) == set(SOURCES)
    assert rows["vggish_pca"]["path"] == str(path)
    assert rows["vggish"]["path"] is None
    assert rows["vggish_pca"]["published"][0]["licence"] == "CC0"

    sha256 = hashlib.sha256(published.read_bytes()).hexdigest()
    verified = avcmr("verify").stdout
    assert verified.startswith(f"pass  vggish_pca: {path}\n      ok: ")
    assert f"ok: sha256 {sha256}, as published\n" in verified


def test_get_and_verify_of_several(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``avcmr weights get`` has all that extraction needs, in the cache or another folder."""
    for name in NEEDED:
        file = published.with_name(f"{name}.npz")
        file.write_bytes(published.read_bytes())
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        there = PublishedFile(file.name, sha256, 0.1, "CC0", read_npz, url=file.as_uri())
        monkeypatch.setitem(SOURCES, name, (there,))
    cache = tmp_path / "cache" / "avcmr" / "weights"
    fetched = avcmr("get")
    assert fetched.exit_code == 0, fetched.output
    assert fetched.stdout.split() == [f"{cache}/{name}.npz" for name in NEEDED]
    copied = avcmr("get", "--to", tmp_path / "weights")
    assert copied.stdout.split() == [f"{tmp_path}/weights/{name}.npz" for name in NEEDED]
    mirrored = avcmr("get", "--mirror", "https://files.example.org/weights")  # here already
    assert mirrored.stdout == fetched.stdout
    assert f"pass  vggish_pca: {cache}/vggish_pca.npz" in avcmr("verify", "vggish_pca").stdout


def test_verify_says_what_fails(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(published, pca_eigen_vectors=np.eye(128), pca_means=np.zeros(64))
    sha256 = hashlib.sha256(published.read_bytes()).hexdigest()
    source = PublishedFile(published.name, sha256, 0.1, "CC0", read_npz)
    monkeypatch.setitem(SOURCES, "vggish_pca", (source,))
    failed = avcmr("verify", "--weights", published.parent)
    assert failed.exit_code == 2
    assert failed.stdout.startswith("FAIL  vggish_pca")
    assert "WRONG: " in failed.stdout
    assert "1 of 1 give other results than published" in failed.stderr


def test_unknown_names() -> None:
    for command in (("get", "vgish"), ("verify", "vgish")):
        result = avcmr(*command)
        assert result.exit_code == 2
        assert "no weights vgish; there are: inception_v3_2015" in result.stderr


def test_nothing_to_verify() -> None:
    assert "no weights on this machine" in avcmr("verify").stderr
