"""The report is complete, self-contained and safe against what users name things."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from avcmr.metrics import Evaluation, evaluate
from avcmr.report import write_report

WARNING = "Audio features come from an UNTRAINED VGGish: numbers mean nothing."


def evaluation(
    class_names: list[str], *, items: int = 60, present: int | None = None
) -> Evaluation:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(items) % (present or len(class_names))
    centres = torch.randn(len(class_names), 16, generator=draw)[labels]
    audio, visual = (centres + torch.randn(items, 16, generator=draw) for _ in range(2))
    return evaluate(audio, visual, labels, class_names)


def history(epochs: int = 6, *, switch: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "stage": 1 if epoch < switch else 2,
            "loss": 1 / epoch,
            "active_triplets": 0.9 - 0.1 * epoch,
            "val_map_audio_to_visual": 0.1 * epoch,
            "val_map_visual_to_audio": 0.11 * epoch,
            "val_map": 0.105 * epoch,
            "mean_distance": 0.9,
            "effective_rank": 7.5,
            "seconds": 15.5,
        }
        for epoch in range(1, epochs + 1)
    ]


class Page(HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.resources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        loaded = ("src", "srcset", "href", "data", "poster", "action")
        self.resources += [value or "" for name, value in attrs if name in loaded]

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(index: Path) -> Page:
    return Page(index.read_text(encoding="utf-8"))


def test_shows_results_training_and_provenance(tmp_path: Path) -> None:
    result = evaluation(["dog", "drum", "snoring"])

    index = write_report(
        tmp_path / "report",
        result,
        history=history(),
        provenance={"config": {"model": {"margin": 0.2}, "name": "demo"}, "seeds": [1, 2], "x": {}},
        title="VEGAS, seed 1",
    )

    assert index == tmp_path / "report" / "index.html"
    page = read(index)
    for direction in (result.audio_to_visual, result.visual_to_audio):
        assert f"{direction.map:.3f} {direction.chance:.3f}" in page.text
        assert f"{100 * direction.precision_at[5]:.1f} %" in page.text
    assert f"Average {result.average_map:.3f} {result.chance:.3f}" in page.text
    assert "VEGAS, seed 1" in page.text
    assert "config.model.margin 0.2" in page.text
    assert "config.name demo" in page.text
    assert "seeds [1, 2]" in page.text
    assert "6 epochs (3 in stage 1, 3 in stage 2), 1 min 33 s" in page.text
    assert "Before you believe" not in page.text


def test_is_self_contained_with_figures_for_light_and_dark(tmp_path: Path) -> None:
    index = write_report(tmp_path, evaluation(["dog", "drum"]), history=history(), provenance={})

    page = read(index)
    assert len(page.resources) == 12
    assert all(resource.startswith("data:image/png;base64,") for resource in page.resources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"@import|url\(|https?://", index.read_text(encoding="utf-8"))
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {
        "training",
        "collapse",
        "precision_recall",
        "classes",
        "confusion_audio_to_visual",
        "confusion_visual_to_audio",
    }
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5_000


def test_warnings_come_before_every_number(tmp_path: Path) -> None:
    result = evaluation(["dog", "drum"])
    text = read(write_report(tmp_path, result, provenance={}, warnings=[WARNING])).text
    assert text.index(WARNING) < text.index(f"{result.average_map:.3f}")


def test_escapes_what_users_wrote(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    index = write_report(
        tmp_path,
        evaluation([attack, "$x_$ & $", "drum"]),
        provenance={attack: attack},
        warnings=[attack],
        title=attack,
    )
    page = read(index)
    assert "script" not in page.tags
    assert page.text.count(attack) == 6  # title, heading, warning, class, key and value


def test_without_history_there_is_no_training_section(tmp_path: Path) -> None:
    page = read(write_report(tmp_path, evaluation(["dog", "drum"]), provenance={}))
    assert "Signs of collapse" not in page.text
    assert not (tmp_path / "training.png").exists()
    assert (tmp_path / "classes.png").exists()


@pytest.mark.parametrize(
    "sparse",
    [
        history(1),
        history(3, switch=1),
        [{"epoch": 1, "stage": 1, "loss": 0.5}],
        [{**line, "val_map": None if line["epoch"] % 2 else 0.5} for line in history()],
    ],
    ids=["one epoch", "stage 2 only", "no validation", "rare validation"],
)
def test_takes_sparse_histories(tmp_path: Path, sparse: list[dict[str, Any]]) -> None:
    page = read(write_report(tmp_path, evaluation(["a", "b"]), history=sparse, provenance={}))
    assert "Signs of collapse" in page.text


def test_many_classes_and_classes_without_clips(tmp_path: Path) -> None:
    names = [f"class {i} with a very long name" for i in range(28)]
    page = read(write_report(tmp_path, evaluation(names, present=27), provenance={}))
    assert "class 27 with a very long name – – –" in page.text


def test_same_results_give_the_same_page(tmp_path: Path) -> None:
    result = evaluation(["dog", "drum"])
    first, second = (
        write_report(tmp_path / name, result, history=history(), provenance={}).read_bytes()
        for name in ("first", "second")
    )
    assert first == second
