"""Results of a run against scikit-learn, and when those of several runs are comparable."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avcmr.evaluation.embeddings import embed_test_split
from avcmr.evaluation.results import Results, class_names_of, comparability_warnings, measure
from avcmr.metrics.metrics import Evaluation, evaluate
from avcmr.training.run_folder import RunFolder
from preprocessing.clips import NO_FILE, Clip


@pytest.fixture(scope="module")
def results(trained_run: RunFolder) -> Results:
    return measure(trained_run, embed_test_split(trained_run))


def evaluation(*class_names: str) -> Evaluation:
    labels = torch.arange(12) % len(class_names)
    embeddings = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    return evaluate(embeddings, embeddings, labels, class_names)


def clips(*labels: str) -> tuple[Clip, ...]:
    return tuple(Clip(f"clip {number}", NO_FILE, label) for number, label in enumerate(labels))


def test_metrics_and_examples_follow_from_the_embeddings(trained_run, results) -> None:
    embedded = embed_test_split(trained_run)
    audio, visual = embedded.audio.double().numpy(), embedded.visual.double().numpy()
    labels = embedded.labels.numpy()
    for cosines, result, examples in (
        (audio @ visual.T, results.evaluation.audio_to_visual, results.audio_to_visual),
        (visual @ audio.T, results.evaluation.visual_to_audio, results.visual_to_audio),
    ):
        precisions = [
            average_precision_score(labels == label, row)
            for label, row in zip(labels, cosines, strict=True)
        ]
        assert result.map == pytest.approx(np.mean(precisions), abs=1e-4)
        assert examples is not None
        assert examples.best[0].average_precision == pytest.approx(max(precisions), abs=1e-4)
        assert examples.worst[0].average_precision == pytest.approx(min(precisions), abs=1e-4)


def test_a_run_is_described_by_what_its_folder_says(trained_run, results) -> None:
    lines = trained_run.metrics_file.read_text(encoding="utf-8").splitlines()
    assert [dict(epoch) for epoch in results.history] == [json.loads(line) for line in lines]
    assert results.name == trained_run.path.name
    assert results.settings["batch_size"] == 16
    assert results.provenance["run"] == str(trained_run.path)
    assert results.provenance["data"] == {"sha256": results.fingerprint, "test clips": 30}
    assert [clip.label for clip in results.clips] == ["dog", "cat", "drum"] * 10
    assert results.warnings == ()


def test_an_unfinished_training_is_warned_of(trained_run: RunFolder, tmp_path: Path) -> None:
    unfinished = RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / "run")))
    unfinished.checkpoint("last").unlink()
    (warning,) = measure(unfinished, embed_test_split(unfinished), "renamed").warnings
    assert warning.startswith("The training is not finished")


def test_runs_on_the_same_clips_and_data_are_comparable() -> None:
    first, second, other_data, other_clips = (
        Results(name, evaluation("dog", "cat"), clips=clips(*labels), fingerprint=fingerprint)
        for name, labels, fingerprint in (
            ("first", ("dog", "cat"), "1"),
            ("second", ("dog", "cat"), "1"),
            ("retrained", ("dog", "cat"), "2"),
            ("relabelled", ("dog", "dog", "dog"), "2"),
        )
    )
    assert comparability_warnings([first]) == []
    assert comparability_warnings([first, second]) == []
    data, tested = comparability_warnings([first, second, other_data, other_clips])
    assert data.startswith("first and retrained differ in more than their settings")
    assert tested.startswith("The numbers of first and relabelled are NOT COMPARABLE")
    assert "(2 and 3, of which 1 are the same)" in tested


def test_classes_of_several_runs_are_in_the_order_of_the_first() -> None:
    runs = [
        Results("first", evaluation("drum", "dog")),
        Results("second", evaluation("cat", "dog", "bell")),
    ]
    assert class_names_of(runs) == ("drum", "dog", "cat", "bell")
