"""The report is complete, self-contained and safe against what users name things."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.config_files import load_config
from avcmr.evaluation.embeddings import embed_test_split
from avcmr.evaluation.examples import RESULTS, Example, Examples
from avcmr.evaluation.report.figures import (
    MAX_RUNS,
    collapse_figure,
    precision_recall_figure,
    training_figure,
)
from avcmr.evaluation.report.page import Report, render
from avcmr.evaluation.report.theme import LIGHT, to_png
from avcmr.evaluation.results import Results
from avcmr.features.dataset import load_dataset
from avcmr.metrics.collapse import COLLAPSED_BELOW
from avcmr.metrics.metrics import Evaluation, evaluate
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import UsageError
from preprocessing.media.encode import write_clip

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


def read(report: Report | Path) -> Page:
    return Page(report.read_text(encoding="utf-8") if isinstance(report, Path) else report.html)


def clips(count: int, label: str = "dog") -> tuple[Clip, ...]:
    return tuple(Clip(f"{label}/{number}", NO_FILE, label) for number in range(count))


def example(query: int, *results: int) -> Example:
    return Example(query, 0.25, results)


RESULT = evaluation(["dog", "drum"])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not rendered, which takes most of the time."""
    monkeypatch.setattr("avcmr.evaluation.report.page.to_png", lambda figure: b"")


def page(*names: str, **known: Any) -> Report:
    known = {"evaluation": RESULT} | known
    return render([Results(name, **known) for name in names or ("one",)], title="A title")


def test_shows_results_training_and_provenance(undrawn: None) -> None:
    result = evaluation(["dog", "drum", "snoring"])

    report = page(
        evaluation=result,
        history=history(),
        settings={"model": {"margin": 0.2}, "name": "demo"},
        provenance={"seeds": [1, 2], "x": {}},
    )

    text = read(report).text
    for direction in (result.audio_to_visual, result.visual_to_audio):
        assert f"{direction.map:.3f}" in text
        shares = [*direction.precision_at.values(), *direction.recall_at.values()]
        assert " ".join(f"{100 * share:.1f}" for share in shares) in text
    assert f"Average MAP {result.average_map:.3f}" in text
    assert f"Chance {result.chance:.3f}" in text
    numbers = zip(
        result.class_names,
        result.audio_to_visual.per_class_map,
        result.visual_to_audio.per_class_map,
        result.audio_to_visual.per_class_chance,
        strict=True,
    )
    for name, *row in numbers:
        assert f"{name} {' '.join(f'{number:.3f}' for number in row)}" in text
    assert "model.margin 0.2" in text
    assert "name demo" in text
    assert "seeds [1, 2]" in text
    assert "6 epochs (3 in stage 1, 3 in stage 2), 1 min 33 s" in text
    assert "⚠ Warnings" not in text
    assert "Not comparable" not in text


def test_several_runs_stand_side_by_side_and_what_differs_is_marked(undrawn: None) -> None:
    results = [evaluation(["dog", "drum"], items=items) for items in (60, 40)]
    runs = [
        Results(
            name,
            result,
            history=history(epochs, switch=epochs - 1),
            settings={"margin": 0.2, "hidden": [epochs]},
        )
        for name, result, epochs in zip(("wide", "narrow"), results, (6, 5), strict=True)
    ]
    report = render(runs, title="Two")
    text = read(report).text
    for name, result in zip(("wide", "narrow"), results, strict=True):
        directions = (result.audio_to_visual, result.visual_to_audio)
        numbers = [result.average_map, *(one.map for one in directions), result.chance]
        assert f"{name} {' '.join(f'{number:.3f}' for number in numbers)}" in text
        for label, one in zip(("audio → visual", "visual → audio"), directions, strict=True):
            shares = [*one.precision_at.values(), *one.recall_at.values()]
            assert f"{name}, {label} {' '.join(f'{100 * x:.1f}' for x in shares[:3])}" in text
    assert "1 setting differs." in text
    assert "hidden ≠ [6] [5]" in text
    assert "margin 0.2 0.2" in text
    assert "wide: 6 epochs (4 in stage 1, 2 in stage 2)" in text
    assert {"confusion_audio_to_visual_1", "confusion_visual_to_audio_2"} < set(report.figures)


def test_is_self_contained_with_figures_for_light_and_dark(tmp_path: Path) -> None:
    index = page(history=history()).write_with_figures(tmp_path / "report")

    assert index == tmp_path / "report" / "index.html"
    shown = read(index)
    assert len(shown.resources) == 12
    assert all(resource.startswith("data:image/png;base64,") for resource in shown.resources)
    assert not {"script", "link", "iframe", "object"} & set(shown.tags)
    assert not re.search(r"@import|url\(|https?://", index.read_text(encoding="utf-8"))
    names = {path.stem for path in index.parent.glob("*.png")}
    assert names == {
        "training",
        "collapse",
        "precision_recall",
        "classes",
        "confusion_audio_to_visual",
        "confusion_visual_to_audio",
    }
    for path in index.parent.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5_000


def test_queries_are_shown_with_pictures_and_sounds_or_a_placeholder(
    undrawn: None, tmp_path: Path
) -> None:
    frames = [np.full((48, 64, 3), 200, np.uint8)] * 24
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 48_000)).astype(np.float32)
    write_clip(tmp_path / "dog.mp4", frames, 8, sound, 16_000)
    cut = Clip("cut", tmp_path / "dog.mp4", "dog", start=0.5, end=2.5)
    whole, gone = Clip("a", cut.path, "dog"), Clip("b", tmp_path / "gone.mp4", "drum")
    one_way = Examples(best=(example(0, 0, 1, 2),), worst=(example(1, 0),))
    report = page(clips=(whole, gone, cut), audio_to_visual=one_way, visual_to_audio=one_way)
    shown = read(report)
    pictures = [one for one in shown.resources if one.startswith("data:image/jpeg")]
    assert len(pictures) == 4  # results by sound: two of three and one; queries by picture: one
    assert shown.tags.count("svg") == 4
    assert shown.text.count("no picture") == shown.text.count("no sound") == 2
    assert "✓ dog no picture ✗ drum ✓ dog" in shown.text
    assert "AP 0.250" in shown.text


def test_warnings_come_before_every_number(undrawn: None) -> None:
    text = read(page(warnings=(WARNING,))).text
    assert text.index(WARNING) < text.index(f"{RESULT.average_map:.3f}")


def test_a_warning_names_its_runs_where_others_lack_it(undrawn: None) -> None:
    runs = [
        Results("a", RESULT, warnings=("shared", "own")),
        Results("b", RESULT, warnings=("shared",)),
    ]
    text = read(render(runs, title="Two")).text
    assert "shared a: own" in text


@pytest.mark.parametrize(
    ("other", "warning"),
    [
        (Results("same", RESULT, clips=clips(4), fingerprint="1"), ""),
        (Results("more", RESULT, clips=clips(5), fingerprint="2"), "(4 and 5, of which 4 are"),
        (Results("else", RESULT, clips=clips(4, "drum"), fingerprint="2"), "NOT COMPARABLE"),
        (Results("data", RESULT, clips=clips(4), fingerprint="2"), "but other features, or"),
    ],
    ids=lambda one: one.name if isinstance(one, Results) else "",
)
def test_other_test_clips_or_other_data_are_warned_of_before_every_number(
    undrawn: None, other: Results, warning: str
) -> None:
    first = Results("first", RESULT, clips=clips(4), fingerprint="1")
    text = read(render([first, other], title="Two")).text
    assert ("Not comparable" in text) == bool(warning)
    assert 0 <= text.index(warning) < text.index(f"{RESULT.average_map:.3f}")
    assert not warning or other.name in text


def test_escapes_what_users_wrote() -> None:
    attack = "<script>alert(1)</script>"
    shown = read(
        render(
            [
                Results(
                    f"{number}{attack}",
                    evaluation([attack, '$x_$ & $"', "drum"]),
                    history=history(),
                    settings={attack: f"{number}{attack}"},
                    provenance={attack: attack},
                    warnings=(attack,),
                    clips=(Clip(f'"><img src=x>{attack}', NO_FILE, attack),),
                    audio_to_visual=Examples((example(0, 0),), (example(0, 0),)),
                    visual_to_audio=Examples((example(0, 0),), (example(0, 0),)),
                )
                for number in range(2)
            ],
            title=attack,
        )
    )
    assert "script" not in shown.tags
    assert all(resource.startswith("data:image/") for resource in shown.resources)
    assert shown.text.count(attack) > 20


def test_any_name_of_a_run_stands_in_the_figures() -> None:
    names = ["_hidden", "$x$", "a name that is far too long for a legend", "$x$ b"]
    runs = [Results(name, RESULT) for name in names]
    legend = precision_recall_figure(runs, LIGHT).legends[0]
    shown = [text.get_text() for text in legend.get_texts()]
    assert [text.split(",")[0].strip() for text in shown[0:8:2]] == [
        "_hidden",
        "$x$",
        "a name that is far to…",
        "$x$ b",
    ]
    assert to_png(legend.figure)


def test_without_history_there_is_no_training_section(undrawn: None) -> None:
    report = page()
    assert "Signs of collapse" not in read(report).text
    assert "training" not in report.figures
    assert "classes" in report.figures


def test_a_run_without_history_beside_one_that_has_it(undrawn: None) -> None:
    runs = [Results("closed form", RESULT), Results("trained", RESULT, history=history())]
    text = read(render(runs, title="Two")).text
    assert "trained: 6 epochs" in text
    assert "closed form:" not in text


def test_a_collapse_is_reported(undrawn: None) -> None:
    lines = [line | {"distance_spread": 0.2} for line in history()]
    assert "collapsed in epoch" not in read(page(history=lines)).text
    lines[4]["distance_spread"] = COLLAPSED_BELOW / 2
    assert "collapsed in epoch 5" in read(page(history=lines)).text


def curves(panel: Axes) -> list[tuple[list[float], list[float]]]:
    """Epochs and values of what is drawn over all of them."""
    drawn = [line.get_xydata().T.tolist() for line in panel.lines]
    return [(xs, ys) for xs, ys in drawn if len(xs) > 2]


def marks(panel: Axes) -> list[float]:
    """Where a line goes from the bottom to the top."""
    drawn = [line.get_xydata().T.tolist() for line in panel.lines]
    return [xs[0] for xs, ys in drawn if xs[0] == xs[-1] and ys == [0, 1]]


def test_training_is_drawn_over_both_stages_with_the_switch_between_them() -> None:
    records = history(6, switch=4)
    epochs = [float(line["epoch"]) for line in records]
    figure = training_figure([Results("one", RESULT, history=records)], LIGHT)
    loss, quality = figure.axes
    assert curves(loss) == [(epochs, [line["loss"] for line in records])]
    for direction in ("audio_to_visual", "visual_to_audio"):
        assert (epochs, [line[f"val_map_{direction}"] for line in records]) in curves(quality)
    assert len(curves(quality)) == 2
    for panel in (loss, quality):
        assert marks(panel) == [3.5]  # between the last epoch of stage 1 and the first of stage 2
    assert [text.get_text() for text in loss.texts] == ["stage 2"]
    both = [
        Results(name, RESULT, history=history(20, switch=at)) for name, at in (("a", 4), ("b", 15))
    ]
    loss, _ = training_figure(both, LIGHT).axes
    assert len(curves(loss)) == 2 and marks(loss) == [3.5, 14.5]


def test_a_collapse_is_drawn_with_its_threshold() -> None:
    lines = [line | {"distance_spread": 0.2} for line in history()]
    spread, *others = collapse_figure([Results("one", RESULT, history=lines)], LIGHT).axes
    levels = [line.get_ydata() for line in spread.lines if list(line.get_xdata()) == [0, 1]]
    assert [list(level) for level in levels] == [[COLLAPSED_BELOW] * 2]
    assert curves(spread)[0][1] == [0.2] * 6
    assert all(marks(panel) == [3.5] for panel in (spread, *others))


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
def test_takes_sparse_histories(sparse: list[dict[str, Any]]) -> None:
    runs = [Results(name, RESULT, history=sparse) for name in ("a", "b")]
    for draw in (training_figure, collapse_figure):
        assert to_png(draw(runs, LIGHT))


def test_many_classes_and_classes_without_clips() -> None:
    names = [f"class {i} with a very long name" for i in range(28)]
    shown = read(page(evaluation=evaluation(names, present=27)))
    assert "class 27 with a very long name – – –" in shown.text


def test_runs_of_other_classes(undrawn: None) -> None:
    runs = [Results(names[0], evaluation(names)) for names in (["dog", "drum"], ["drum", "cat"])]
    text = read(render(runs, title="Two")).text
    assert re.search(r"cat – – – 0\.\d+ 0\.\d+ 0\.\d+", text)
    assert re.search(r"drum( 0\.\d+){6}", text)


def test_same_results_give_the_same_page() -> None:
    assert page(history=history()) == page(history=history())


def test_too_many_runs_are_refused() -> None:
    with pytest.raises(UsageError, match=f"give {MAX_RUNS} or fewer"):
        page(*map(str, range(MAX_RUNS + 1)))


@pytest.fixture
def two_runs(feature_file: Any, tmp_path: Path) -> list[Path]:
    """Trained shortly, on features without media."""
    features, folders = feature_file(), []
    for name, margin in (("wide", 0.2), ("narrow", 0.3)):
        settings = ["batch_size=16", "model.hidden=[16]", f"stage1.margin={margin}"]
        epochs = ["stage1.max_epochs=2", "stage2.max_epochs=1"]
        config = load_config(None, settings + epochs).model_copy(update={"features": features})
        dataset = load_dataset(features, config.data)
        run = RunFolder(tmp_path / "runs" / name)
        with run.opened(config, dataset):
            train(dataset, config, run)
        folders.append(run.path)
    return folders


@pytest.mark.slow
def test_from_the_command_line(two_runs: list[Path], tmp_path: Path) -> None:
    def avcmr(*words: object) -> Any:
        return CliRunner().invoke(app, [str(word) for word in words])

    done = avcmr("report", *two_runs)
    assert done.exit_code == 0, done.output
    written = tmp_path / "runs" / "report.html"
    assert done.stdout.strip() == str(written)
    text = read(written).text
    for path in two_runs:
        embedded = embed_test_split(RunFolder(path))
        result = evaluate(embedded.audio, embedded.visual, embedded.labels, embedded.class_names)
        assert f"{path.name} {result.average_map:.3f} {result.audio_to_visual.map:.3f}" in text
    assert "stage1.margin ≠ 0.2 0.3" in text
    assert "no picture" in text
    assert "Not comparable" not in text
    assert text.count("✓") + text.count("✗") > 2 * 2 * 6 * RESULTS

    done = avcmr("report", two_runs[0], two_runs[0], "--out", tmp_path / "new" / "one.html")
    assert done.exit_code == 0, done.output
    done = avcmr("evaluate", two_runs[0])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "one.html").read_text() == (
        two_runs[0] / "report" / "index.html"
    ).read_text()

    done = avcmr("report", two_runs[0], "--out", tmp_path)
    assert done.exit_code == 2
    assert "--out wants a file" in done.stderr
    assert avcmr("report", tmp_path / "nothing").exit_code == 2
