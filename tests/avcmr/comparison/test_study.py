"""``avcmr compare`` and ``avcmr reproduce`` as a user gives them, on made-up features."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner, Result

from avcmr.cli import app
from avcmr.comparison import study as comparison
from avcmr.comparison.registry import all_methods
from avcmr.comparison.statistics import (
    Difference,
    Estimate,
    Outcome,
    caveats,
    differences_from_ours,
    summarise,
)
from avcmr.comparison.tables import markdown_table, rich_table
from avcmr.config_files import load_config, preset
from avcmr.features.dataset import load_dataset
from avcmr.metrics.metrics import mean_average_precision
from avcmr.model.inference import embed
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.run_folder import RunFolder

QUICK = (
    "batch_size=16",
    "model.hidden=[16]",
    "model.embedding_dim=8",
    "stage1.max_epochs=3",
    "stage2.max_epochs=2",
)
FEW = ("--methods", "random,cca,infonce,ours", "--seeds", "2")


def avcmr(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read_precisions(folder: Path) -> dict[tuple[str, int], np.ndarray]:
    return {
        (line["method"], line["seed"]): np.load(
            folder / "precisions" / f"{line['method']}-{line['seed']}.npy"
        )
        for line in results(folder)
    }


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def compared(feature_file, tmp_path) -> tuple[Path, Path]:
    """A feature file and a comparison of it."""
    features, out = feature_file(), tmp_path / "out"
    done = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    assert "plan: 7 runs: 0 done, 7 to do" in done.stderr
    return features, out


def test_every_method_and_seed_is_measured_once_and_written_down(compared) -> None:
    _, out = compared
    assert sorted((line["method"], line["seed"]) for line in results(out)) == [
        ("cca", 0),  # the seed changes nothing
        *((name, seed) for name in ("infonce", "ours", "random") for seed in (0, 1)),
    ]
    rows = list(csv.DictReader((out / "comparison.csv").open()))
    assert [row["category"] for row in rows] == ["ours", "trained", "closed form", "chance"]
    for row in rows:
        lines = [line for line in results(out) if line["method"] == row["method"]]
        mean = np.mean([line["audio_to_visual"] for line in lines])
        assert float(row["audio_to_visual"]) == pytest.approx(mean)
        cosine = np.mean([line["by_cosine"] for line in lines])
        assert float(row["by_cosine"]) == pytest.approx(cosine)
        assert (row["minus_ours_low"] == "") == (row["method"] == "ours")
        assert (row["audio_to_visual_margin"] == "") == (row["method"] == "cca")
    cca = rows[2]
    values = f"{float(cca['audio_to_visual']):.3f} | {float(cca['visual_to_audio']):.3f}"
    assert f"| cca | closed form | {values} |" in (out / "comparison.md").read_text()
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_our_method_is_measured_on_the_test_clips_with_its_best_weights(compared) -> None:
    features, out = compared
    dataset = load_dataset(features, load_config().data)
    test = dataset.test
    run = RunFolder(out / "runs" / "ours-1")
    config = run.config()
    assert (config.seed, config.stage1.max_epochs, run.finished) == (1, 3, True)
    network = TwoBranchNetwork.fitting(dataset, config.model)
    network.load_state_dict(run.load("best").tensors)
    audio, visual = embed(network, test)
    (line,) = (one for one in results(out) if (one["method"], one["seed"]) == ("ours", 1))
    expected = mean_average_precision(audio, visual, test.labels, test.labels)
    assert line["audio_to_visual"] == pytest.approx(expected, abs=1e-6)
    assert line["validation"] == pytest.approx(run.load("best").metadata["val_map"], abs=1e-6)


def test_the_same_command_does_nothing_twice_and_more_seeds_add_to_it(compared) -> None:
    features, out = compared
    before = results(out)
    again = avcmr("compare", "--features", features, *FEW, "--out", out, "--json", *QUICK)
    assert "plan: 7 runs: 7 done, 0 to do" in again.stderr
    assert results(out) == before
    told = json.loads(again.stdout)
    assert {one["method"]: one["runs"] for one in told["methods"]} == {
        "ours": 2,
        "infonce": 2,
        "cca": 1,
        "random": 2,
    }
    assert told["clips"] == {"train": 64, "val": 24, "test": 24}
    more = avcmr(
        *("compare", "--features", features, "--methods", "random,infonce"),
        *("--seeds", "3", "--out", out, *QUICK),
    )
    assert "plan: 6 runs: 4 done, 2 to do" in more.stderr
    assert results(out)[:7] == before
    assert len(results(out)) == 9


def test_a_comparison_that_is_interrupted_keeps_what_it_has(
    feature_file, tmp_path, monkeypatch
) -> None:
    """Ctrl-C within the third run: two are kept and not done again."""
    features, out = feature_file(), tmp_path / "out"
    measure, calls = comparison._measure, []

    def interrupted(name: str, *rest: Any) -> Any:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(name, *rest)

    monkeypatch.setattr(comparison, "_measure", interrupted)
    command = ("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert avcmr(*command).exit_code == 130
    kept = results(out)
    assert len(kept) == 2
    assert avcmr(*command).exit_code == 0
    assert results(out)[:2] == kept
    assert len(calls) == 3 + 5


def test_other_features_or_settings_are_refused(compared, feature_file) -> None:
    features, out = compared
    other = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK, "batch_size=8")
    assert (other.exit_code, "batch_size: 16 → 8" in other.stderr) == (2, True)
    feature_file(noise=0.5)
    other = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert other.exit_code == 2
    assert "other features or splits; use another --out" in other.stderr
    assert len(results(out)) == 7


def test_two_at_once_in_one_folder_are_refused(feature_file, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / "lock"):
        done = avcmr("compare", "--features", feature_file(), *FEW, "--out", out)
    assert (done.exit_code, "another comparison is at work here" in done.stderr) == (2, True)


def test_warnings_of_the_features_stand_above_the_table(compared) -> None:
    out = compared[1]
    summaries = summarise([Outcome(**line) for line in results(out)], read_precisions(out))
    first = markdown_table(summaries, warnings=["Made with an UNTRAINED vggish."]).splitlines()[0]
    assert first == "**Made with an UNTRAINED vggish.**"


def test_the_table_fits_into_80_columns() -> None:
    """With every method, all of them collapsed, and times of some minutes."""
    outcomes = [
        Outcome(name, method.category, seed, *[0.6 + 0.01 * seed] * 6, True, 623.4, "1")
        for name, method in all_methods(Path()).items()
        for seed in range(2)
    ]
    generator = np.random.default_rng(0)
    precisions = {(one.method, one.seed): generator.random((2, 9)) for one in outcomes}
    console = Console(width=80, file=StringIO())
    console.print(rich_table(summarise(outcomes, precisions), "title"))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert all(f"{name}*" in shown for name in all_methods(Path()))
    assert "* the embedding space collapsed in training" in shown


def test_collapsed_and_older_results_are_told() -> None:
    outcomes = [
        Outcome("ours", "ours", 0, *[0.6] * 6, False, 1.0, "new"),
        Outcome("hard-only", "ours", 0, *[0.3] * 6, True, 1.0, "new"),
        Outcome("cca", "closed form", 0, *[0.5] * 6, False, 1.0, "old"),
    ]
    collapsed, older = caveats(outcomes, "new")
    assert collapsed == "The embedding space of hard-only collapsed in training."
    assert older.startswith("1 of 3 results are of other code of avcmr than this (cca)")
    assert caveats(outcomes[:1], "new") == []
    summaries = summarise(outcomes, {(one.method, one.seed): np.ones((2, 5)) for one in outcomes})
    table = markdown_table(summaries)
    assert "| hard-only* | ours |" in table
    assert "| ours | ours |" in table


def test_a_collapse_in_training_is_seen(feature_file, tmp_path, monkeypatch) -> None:
    """What counts as one is set so high that every training is."""
    from avcmr.evaluation import results as module

    monkeypatch.setattr(module, "COLLAPSED_BELOW", 2.0)
    features, out = feature_file(), tmp_path / "out"
    command = ("--methods", "ours,infonce", "--seeds", "1", "--out", out)
    done = avcmr("compare", "--features", features, *command, *QUICK)
    assert done.exit_code == 0, done.output
    assert {line["method"]: line["collapsed"] for line in results(out)} == {
        "ours": True,
        "infonce": False,  # its training is not watched
    }
    assert "warning: The embedding space of ours collapsed in training." in done.stderr
    assert "**The embedding space of ours" in (out / "comparison.md").read_text()


def test_results_of_other_code_are_kept_and_told(compared, monkeypatch) -> None:
    features, out = compared
    monkeypatch.setattr(comparison, "code_version", lambda: "another")
    before = results(out)
    done = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert results(out) == before
    assert "7 of 7 results are of other code of avcmr than this" in " ".join(done.stderr.split())


def test_a_comparison_of_an_older_format_is_refused(compared) -> None:
    features, out = compared
    (out / "comparison.json").write_text(json.dumps({"fingerprint": "", "config": {}}))
    done = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert (done.exit_code, "a comparison by another version of avcmr" in done.stderr) == (2, True)


def test_precisions_are_those_of_the_test_clips(compared) -> None:
    _, out = compared
    found = read_precisions(out)
    for line in results(out):
        means = found[line["method"], line["seed"]].mean(axis=1)
        assert means.tolist() == pytest.approx(
            [line["audio_to_visual"], line["visual_to_audio"]], abs=1e-6
        )


def test_the_difference_from_ours_is_that_of_pairs() -> None:
    """Of one seed each, against SciPy's paired bootstrap."""
    generator = np.random.default_rng(1)
    ours = generator.random(300)
    other = ours + generator.normal(0.02, 0.05, 300)
    found = differences_from_ours({"ours": ours[None], "cca": other[None]}, resamplings=20_000)
    assert set(found) == {"cca"}
    reference = stats.bootstrap(
        (other, ours),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=2,
    ).confidence_interval
    assert found["cca"].mean == pytest.approx((other - ours).mean())
    assert found["cca"].low == pytest.approx(reference.low, abs=4e-4)
    assert found["cca"].high == pytest.approx(reference.high, abs=4e-4)
    apart = np.sqrt((ours.var() + other.var()) / 300) * 1.96
    assert found["cca"].high - found["cca"].low < 0.3 * 2 * apart


def test_seeds_widen_the_interval_of_the_difference() -> None:
    clips = np.random.default_rng(3).random(500)
    ours = clips + np.array([[-0.03], [0.0], [0.03]])
    found = differences_from_ours({"ours": ours, "same": clips[None]}, resamplings=20_000)["same"]
    # Three values drawn with replacement: their mean has the deviation σ/√3.
    assert found.mean == pytest.approx(0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0245 / np.sqrt(3), rel=0.1)
    assert differences_from_ours({"cca": clips[None]}) == {}
    assert str(Difference(-0.02, -0.035, 0.004)) == "−.035 to +.004"


def test_wrong_names_are_refused_with_the_nearest_right_ones(feature_file, tmp_path) -> None:
    done = avcmr("compare", "--features", feature_file(), "--methods", "cca,infonse,xyz")
    assert done.exit_code == 2
    assert "no method 'infonse'; did you mean infonce?; no method 'xyz'. There are" in done.stderr
    done = avcmr("compare", "--features", feature_file(), "--methods", ",")
    assert (done.exit_code, "no method is named" in done.stderr) == (2, True)


def test_jobs_give_what_one_process_gives(compared, tmp_path) -> None:
    features, out = compared
    script = Path(sys.executable).with_name("avcmr")
    parallel = tmp_path / "parallel"
    command = [script, "compare", "--features", features, *FEW, "--out", parallel, "--jobs", "2"]
    subprocess.run([*map(str, command), *QUICK], check=True, capture_output=True, timeout=300)

    def maps(folder: Path) -> dict[tuple[str, int], float]:
        return {(one["method"], one["seed"]): one["audio_to_visual"] for one in results(folder)}

    assert maps(parallel) == pytest.approx(maps(out), abs=1e-6)


def test_the_interval_is_that_of_students_t() -> None:
    values = [0.61, 0.63, 0.60, 0.66, 0.62]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    estimate = Estimate.of(values)
    assert estimate.margin is not None
    assert estimate.mean - estimate.margin == pytest.approx(low)
    assert estimate.mean + estimate.margin == pytest.approx(high)
    assert Estimate.of([0.5]) == Estimate(0.5, None)


Writer = Callable[[Path, int], Path]


def values(classes: int, per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Audio (N, 128) and visual (N, 1024) as published, in float32, and labels (N,)."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    features = (rng.normal(size=(classes, dim))[labels] for dim in (128, 1024))
    audio, visual = (part + rng.normal(size=part.shape) for part in features)
    return audio.astype(np.float32), visual.astype(np.float32), labels


def write_split(path: Path, classes: int) -> Path:
    """``audio_train audio_test …``: the first published layout."""
    audio, visual, labels = values(classes, 9)
    test = np.arange(len(labels)) % 9 >= 6
    with h5py.File(path, "w") as file:
        for name, rows in (("train", ~test), ("test", test)):
            file[f"audio_{name}"], file[f"visual_{name}"] = audio[rows], visual[rows]
            file[f"lab_{name}"] = labels[rows]
    return path


def write_sequences(path: Path, classes: int) -> Path:
    """The same with ten rows a clip, whose mean is what the first layout holds."""
    audio, visual, labels = values(classes, 9)
    test = np.arange(len(labels)) % 9 >= 6
    drift = np.linspace(-1, 1, 10, dtype=np.float32)[None, :, None]
    with h5py.File(path, "w") as file:
        for name, rows in (("train", ~test), ("test", test)):
            file[f"audio_{name}"] = audio[rows][:, None] + drift
            file[f"visual_{name}"] = visual[rows][:, None] + drift
            file[f"lab_{name}"] = labels[rows][:, None]
    return path


def flat_writer(column: str) -> Writer:
    """``audio_feat visual_feat Label_ID`` and a column of 1 (train) and 0 (test)."""

    def write(path: Path, classes: int) -> Path:
        audio, visual, labels = values(classes, 9)
        with h5py.File(path, "w") as file:
            file["audio_feat"], file["visual_feat"], file["Label_ID"] = audio, visual, labels
            file[column] = (np.arange(len(labels)) % 9 < 6).astype(np.int64)
        return path

    return write


LAYOUTS = {
    "split": write_split,
    "sequences": write_sequences,
    "flat, Train_test": flat_writer("Train_test"),
    "flat, Split": flat_writer("Split"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_read(layout, tmp_path) -> None:
    path = LAYOUTS[layout](tmp_path / "features.h5", 10)
    dataset = load_dataset(path, load_config().data)
    audio, visual, labels = values(10, 9)
    test = np.arange(len(labels)) % 9 >= 6
    np.testing.assert_allclose(dataset.test.audio, audio[test], atol=1e-6)
    np.testing.assert_allclose(dataset.test.visual, visual[test], atol=1e-6)
    assert dataset.test.labels.tolist() == labels[test].tolist()
    assert len(dataset.train) + len(dataset.val) == (~test).sum()


@pytest.mark.parametrize(
    ("dataset", "classes", "layout"),
    [("vegas", 10, "split"), ("ave15", 15, "flat, Split"), ("ave", 28, "flat, Train_test")],
)
def test_reproduce_shows_published_numbers_beside_ours(dataset, classes, layout, tmp_path) -> None:
    features = LAYOUTS[layout](tmp_path / "features.h5", classes)
    command = (
        *("reproduce", dataset, "--features", features, "--out", tmp_path / "out"),
        *("--methods", "random,cluster-cca", "--seeds", "2", "--json"),
    )
    done = avcmr(*command)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [one["method"] for one in told["methods"]] == ["cluster-cca", "random"]
    assert told["methods"][0]["average"]["mean"] > 0.9
    assert told["outcomes"][0]["prefix_averaged_audio_to_visual"] > 0
    assert all(one["read_in"] for one in told["published"])
    assert "Published, not measured here" in done.stderr
    shown = {one["method"]: one["audio_to_visual"] for one in told["published"]}
    assert shown["DCLMA"] == {"vegas": 0.933, "ave15": 0.507, "ave": 0.507}[dataset]
    assert (tmp_path / "out" / "comparison.md").read_text().count("published:") == len(shown)


def test_reproduce_refuses_features_of_another_data_set(tmp_path) -> None:
    features = write_split(tmp_path / "features.h5", 10)
    command = ("reproduce", "vegas", "--features", features, "--out", tmp_path / "out")
    done = avcmr(*command, "model.visual_pca=9999")
    assert (done.exit_code, "numbers only" in done.stderr) == (2, True)
    done = avcmr("reproduce", "ave", "--features", features, "--out", tmp_path / "out")
    assert (done.exit_code, "10 classes, where this data set has 28" in done.stderr) == (2, True)
    done = avcmr("reproduce", "ave15", "--features", features, "--out", tmp_path / "out")
    assert (done.exit_code, "10 classes without names" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_15_classes_are_taken_from_all_28_by_name_in_their_order(tmp_path) -> None:
    path = write_split(tmp_path / "features.h5", 28)
    wanted = load_config(preset("ave15")).data
    assert wanted.classes is not None
    others = [f"other {number}" for number in range(13)]
    names = [*others, *reversed(wanted.classes)]
    with h5py.File(path, "a") as file:
        file.attrs["classes"] = names
    dataset = load_dataset(path, wanted)
    assert dataset.class_names == wanted.classes
    _, visual, labels = values(28, 9)
    clocks = visual[(labels == 27) & (np.arange(len(labels)) % 9 >= 6)]
    np.testing.assert_array_equal(dataset.test.visual[dataset.test.labels == 0], clocks)
    assert len(dataset.test) == 15 * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Split": None}, "without Train_test"),
        ({"Label_ID": None}, "without Label_ID"),
        ({"Split": np.full(90, 2)}, "Split must be 1 .train. or 0 .test., found 2"),
        ({"Label_ID": np.zeros(80)}, "labels for 90 clips"),
        ({"audio_feat": np.zeros((80, 128))}, "audio features must be .90, D."),
    ],
)
def test_flat_files_that_do_not_fit_together_are_refused(change, message, tmp_path) -> None:
    from preprocessing.errors import SetupError

    path = flat_writer("Split")(tmp_path / "features.h5", 10)
    with h5py.File(path, "a") as file:
        for name, replaced in change.items():
            del file[name]
            if replaced is not None:
                file[name] = replaced
    with pytest.raises(SetupError, match=message):
        load_dataset(path, load_config().data)
