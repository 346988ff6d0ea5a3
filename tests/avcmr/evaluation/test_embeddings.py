"""Embedded test clips against a forward pass in NumPy, and their file."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf, softmax

from avcmr.config_files import load_config
from avcmr.evaluation.embeddings import embed_test_split, write_embeddings
from avcmr.features.dataset import load_dataset
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import SetupError

Floats = NDArray[np.float64]


def class_posterior(run: RunFolder, modality: str, features: Floats) -> Floats:
    """(N, D) features → (N, classes) with the run's best weights, in plain NumPy."""
    weights = load_file(run.checkpoint("best"))

    def linear(rows: Floats, layer: int) -> Floats:
        name = f"{modality}.layers.{layer}"
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    scaled = (features - weights[f"{modality}.mean"]) * weights[f"{modality}.scale"]
    hidden = linear(scaled, 1)
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2  # GELU
    embedded = linear(hidden, 4)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    temperature = run.config().model.posterior_temperature
    return softmax(embedded @ weights["posterior.prototypes"].T / temperature, axis=1)


def features_of(run: RunFolder) -> Path:
    path = run.config().features
    assert path is not None
    return path


def test_cosine_is_the_inner_product_of_class_posteriors(trained_run: RunFolder) -> None:
    with h5py.File(features_of(trained_run)) as file:
        posteriors = [
            class_posterior(trained_run, modality, file[f"{modality}_test"][:])
            for modality in ("audio", "visual")
        ]
        labels = file["lab_test"][:].tolist()
    embedded = embed_test_split(trained_run)
    np.testing.assert_allclose(
        embedded.audio @ embedded.visual.T, posteriors[0] @ posteriors[1].T, atol=1e-5
    )
    for rows in (embedded.audio, embedded.visual):
        np.testing.assert_allclose(rows.norm(dim=1), 1, atol=1e-5)
    assert embedded.labels.tolist() == labels


def test_clips_and_checkpoint_are_described(trained_run: RunFolder) -> None:
    embedded = embed_test_split(trained_run)
    assert embedded.class_names == ("dog", "cat", "drum")
    assert [clip.id for clip in embedded.clips] == list(embedded.ids)
    assert [clip.label for clip in embedded.clips] == ["dog", "cat", "drum"] * 10
    assert embedded.made is None  # published files do not say
    best = max(trained_run.history(), key=lambda epoch: epoch["val_map"])
    assert embedded.checkpoint == {key: best[key] for key in ("stage", "epoch", "val_map")}
    dataset = load_dataset(features_of(trained_run), load_config().data)
    assert embedded.fingerprint == dataset.fingerprint


def test_changed_features_are_refused(trained_run: RunFolder, tmp_path: Path) -> None:
    """Test clips of another data set may have been trained on."""
    changed = Path(shutil.copy(features_of(trained_run), tmp_path))
    with h5py.File(changed, "a") as file:
        file["audio_test"][0, 0] += 1
    run = RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / "run")))
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace(str(features_of(trained_run)), str(changed)))
    with pytest.raises(SetupError, match=r"features\.h5 has changed since the run was trained"):
        embed_test_split(run)


def test_the_file_holds_every_clip(trained_run: RunFolder, tmp_path: Path) -> None:
    embedded = embed_test_split(trained_run)
    write_embeddings(tmp_path / "embeddings.h5", embedded)
    with h5py.File(tmp_path / "embeddings.h5") as file:
        assert file.attrs["format"] == "avcmr-embeddings"
        assert file["id"].asstr()[:].tolist() == list(embedded.ids)
        assert file["label"].asstr()[:].tolist() == ["dog", "cat", "drum"] * 10
        np.testing.assert_array_equal(file["audio"], embedded.audio)
        np.testing.assert_array_equal(file["visual"], embedded.visual)
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings.h5"]
