"""What the pages show works: their blocks of Python, and their links."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSSVD

from avcmr.comparison.baselines.method import average_map
from avcmr.config import Config
from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.metrics import expected_chance
from preprocessing.media.types import Media, Source
from preprocessing.networks.extractor import FeatureExtractor
from preprocessing.networks.vggish import untrained_vggish
from preprocessing.store import FeatureStore

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fenced(page: str, language: str = "") -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def python_of(page: str) -> dict[str, Any]:
    """What the first block of Python on a page defines."""
    names: dict[str, Any] = {}
    exec(fenced((ROOT / "docs" / page).read_text(), "python")[0], names)
    return names


def test_the_method_on_its_page_is_one() -> None:
    """As scikit-learn's partial least squares has it, and better than chance on unseen clips."""
    draw = torch.Generator().manual_seed(0)
    centres = 0.6 * torch.randn(3, 5, generator=draw)

    def clips(count: int) -> PairedFeatures:
        labels = torch.arange(count) % 3
        noise = torch.randn(2, count, 5, generator=draw)
        audio, visual = centres[labels] + noise
        return PairedFeatures(tuple(map(str, range(count))), audio, visual, labels)

    train, val, test = clips(120), clips(60), clips(60)
    page = python_of("adding-a-method.md")
    (method,) = page["METHODS"]
    page["DIMENSIONS"] = (2,)
    embedder = method.fit(train, val, Config()).by_cosine
    reference = PLSSVD(n_components=2, scale=False).fit(train.audio.double(), train.visual.double())
    for ours, theirs in zip(
        embedder(test.audio, test.visual),
        reference.transform(test.audio.double(), test.visual.double()),
        strict=True,
    ):
        for k in range(2):  # but for sign and scale
            assert abs(np.corrcoef(ours[:, k], theirs[:, k])[0, 1]) == pytest.approx(1)
    assert average_map(embedder, test) > expected_chance(test.labels) + 0.1


def test_the_network_on_its_page_makes_features() -> None:
    torch.manual_seed(0)
    network = python_of("adding-a-network.md")["MobileNet"]().eval()
    extractor = FeatureExtractor(
        network, untrained_vggish(0), vggish_pca=None, device=torch.device("cpu")
    )
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 80, 3), dtype=np.uint8)
    waveform = np.zeros(16_000, dtype=np.float32)
    source = Source(size=1, mtime=1, codec="h264", fps=25.0)
    (features,) = extractor.extract([Media(frames, np.array([0.5, 1.5]), waveform, 2.0, source)])
    assert features.visual.shape == (2, 576)
    assert features.visual.std() > 0


def test_the_data_set_on_its_page_is_listed(tmp_path: Path) -> None:
    rows = tmp_path / "vggsound.csv"
    rows.write_text('a-_0,30,"dog barking, howling",train\nb,5,playing flute,test\n')
    (tmp_path / "a-_0_000030.mp4").touch()
    listing = python_of("adding-a-data-set.md")["list_vggsound"](rows, tmp_path)
    assert [(clip.id, clip.label, clip.split) for clip in listing.clips] == [
        ("a-_0_000030", "dog barking, howling", "train")
    ]
    assert [clip.id for clip in listing.missing] == ["b_000005"]
    assert listing.classes == ("dog barking, howling", "playing flute")


def test_the_store_is_read_as_its_page_says(prepared: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(prepared)
    names = python_of("feature-store.md")
    with FeatureStore(Path("features.h5")) as store:
        assert names["name"] == store.ids[7]
        np.testing.assert_array_equal(names["rows"], store.clip(7).visual)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
