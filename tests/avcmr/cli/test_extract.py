"""``avcmr extract --dry-run``: which weights it takes, and what they make stale. Starts no Ray."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.cli.extract import _clips
from preprocessing.catalog.folders import scan_folder
from preprocessing.media.types import ClipFeatures
from preprocessing.networks.extractor import Networks
from preprocessing.networks.weights import SOURCES, PublishedFile, search
from preprocessing.networks.weights.readers import read_npz
from preprocessing.store import FeatureStore, FeatureWriter, Provenance
from preprocessing.store.plan import source_of


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw" / "dog").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "raw" / "dog" / f"{number}.mp4").write_bytes(b"x" * (number + 1))
    return tmp_path / "raw"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights of every network; nothing else is anywhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AVCMR_WEIGHTS", raising=False)
    monkeypatch.setattr(search, "_packaged", lambda source: [])
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in SOURCES:
        (folder / f"{name}.pth").write_bytes(name.encode())
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        url = "http://127.0.0.1:1/file"
        source = PublishedFile(f"{name}.pth", sha256, 0.1, "CC0", read_npz, url=url)
        monkeypatch.setitem(SOURCES, name, (source,))
    return folder


def extract(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extract", "--dry-run", *map(str, arguments)])


def test_weights_of_a_folder_are_taken(raw: Path, weights: Path, tmp_path: Path) -> None:
    planned = extract("--videos", raw, "--out", tmp_path / "f.h5", "--weights", weights)
    assert planned.exit_code == 0, planned.output
    assert "plan: 3 clips: 0 done, 3 to do (3 new)" in planned.stderr
    assert not (tmp_path / "f.h5").exists()
    without = extract("--videos", raw, "--out", tmp_path / "f.h5")
    assert without.exit_code == 2
    (told,) = [line for line in without.stderr.splitlines() if line]
    assert "no weights for inception_v3_2015: looked in --weights" in told
    (weights / "vggish.pth").write_bytes(b"another")
    wrong = extract("--videos", raw, "--out", tmp_path / "f.h5", "--weights", weights)
    assert wrong.exit_code == 2
    assert f"{weights / 'vggish.pth'} is not the published vggish.pth" in wrong.stderr


def test_copies_are_of_one_source(raw: Path) -> None:
    (raw / "cat").mkdir()
    (raw / "cat" / "again.mp4").write_bytes((raw / "dog" / "1.mp4").read_bytes())
    clips, _ = _clips(str(raw), None, follow_links=False)
    source_of = {clip.id: clip.source for clip in clips}
    assert source_of["cat/again"] == source_of["dog/1"] != ""
    assert source_of["dog/0"] == source_of["dog/2"] == ""
    manifest = raw / "clips.csv"
    manifest.write_text("path,label,split\ndog/1.mp4,a,train\ncat/again.mp4,a,train\n")
    clips, _ = _clips(None, manifest, follow_links=False)
    assert {clip.source for clip in clips} == {source_of["dog/1"]}


def test_another_network_makes_features_stale(raw: Path, weights: Path, tmp_path: Path) -> None:
    out, clips = tmp_path / "f.h5", scan_folder(raw).clips
    networks = Networks(weights=weights)
    command = ("--videos", raw, "--out", out, "--weights", weights)
    with FeatureWriter(out, _as_extract_would(networks)) as writer:
        for clip in clips:
            one, time = np.ones((1, 8), np.float32), np.ones(1)
            writer.add(clip, ClipFeatures(one, time, one, time, 1.0, source_of(clip.path)))
        writer.finish(clips)
    assert "plan: 3 clips: 3 done, 0 to do" in extract(*command).stderr
    for visual, plan in (
        ("inception_v3_2015", "3 done, 0 to do"),
        ("inception_v3_imagenet", "0 done, 3 to do"),
    ):
        planned = extract(*command, "--visual", visual)
        assert planned.exit_code == 0, planned.output
        assert plan in planned.stderr
    with FeatureStore(out) as store:
        assert len(store) == 3  # a dry run leaves all as it was


def _as_extract_would(networks: Networks) -> Provenance:
    from preprocessing.media import DECODERS, Sampling, best_decoder
    from raytasks.extraction.decoding import describe

    decoder = describe(DECODERS[best_decoder()])
    return Provenance(networks.describe(Sampling()), networks.origins(), decoder)
