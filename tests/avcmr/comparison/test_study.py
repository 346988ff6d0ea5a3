"""``avcmr compare`` from the command line, on synthetic features."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from avcmr.cli import app
from avcmr.comparison import study as comparison
from avcmr.config_files import load_config
from avcmr.features.dataset import load_dataset
from avcmr.metrics.metrics import mean_average_precision
from avcmr.model.inference import embed
from avcmr.model.network import TwoBranchNetwork
from avcmr.training.run_folder import RunFolder
from tests.patience import PATIENCE

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


@pytest.fixture(scope="module")
def finished(write_published, tmp_path_factory) -> tuple[Path, Path]:
    """A feature file and a comparison of it, to be left as they are."""
    folder = tmp_path_factory.mktemp("finished")
    features, out = folder / "paired.h5", folder / "out"
    write_published(features, {"train": 64, "val": 24, "test": 24})
    done = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}\n"
    assert "plan: 7 runs: 0 done, 7 to do" in done.stderr
    return features, out


@pytest.fixture
def compared(finished, tmp_path) -> tuple[Path, Path]:
    """Copies of both."""
    features, out = finished
    shutil.copytree(out, tmp_path / "out")
    return Path(shutil.copy(features, tmp_path)), tmp_path / "out"


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
    shown = json.loads(again.stdout)
    assert {one["method"]: one["runs"] for one in shown["methods"]} == {
        "ours": 2,
        "infonce": 2,
        "cca": 1,
        "random": 2,
    }
    assert shown["clips"] == {"train": 64, "val": 24, "test": 24}
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

    def interrupted(name: str, *rest: Any, **how: Any) -> Any:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(name, *rest, **how)

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
    assert (done.exit_code, "another comparison is running here" in done.stderr) == (2, True)


def test_a_collapse_in_training_is_reported(feature_file, tmp_path, monkeypatch) -> None:
    """With a threshold so high that every training counts as collapsed."""
    monkeypatch.setattr("avcmr.training.history.COLLAPSED_BELOW", 2.0)
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


def test_results_of_other_code_are_kept_with_a_warning(compared, monkeypatch) -> None:
    features, out = compared
    monkeypatch.setattr(comparison, "code_version", lambda: "another")
    before = results(out)
    done = avcmr("compare", "--features", features, *FEW, "--out", out, *QUICK)
    assert results(out) == before
    warning = "7 of 7 results are from another version of avcmr's code"
    assert warning in " ".join(done.stderr.split())


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
    subprocess.run([*map(str, command), *QUICK], check=True, capture_output=True, timeout=PATIENCE)

    def maps(folder: Path) -> dict[tuple[str, int], float]:
        return {(one["method"], one["seed"]): one["audio_to_visual"] for one in results(folder)}

    assert maps(parallel) == pytest.approx(maps(out), abs=1e-6)
