"""The visual PCA against NumPy, against YouTube-8M's own steps, and in a whole run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avcmr.config_files import load_config
from avcmr.evaluation.embeddings import embed_test_split
from avcmr.features.dataset import load_dataset
from avcmr.model.network import TwoBranchNetwork
from avcmr.model.whitening import WhiteningPCA, require_fitting_components
from avcmr.training.loop import train
from avcmr.training.run_folder import RunFolder
from preprocessing.errors import AvcmrError, SetupError, UsageError


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Theirs: quantize of extract_tfrecords_main.py, then Dequantize of utils.py."""
    codes = np.array([round(v) for v in ((np.clip(values, -2, 2) + 2) * (255 / 4)).ravel()])
    return (codes * (4 / 255) + 4 / 512 - 2).reshape(values.shape)


@pytest.mark.parametrize(("clips", "width"), [(200, 12), (20, 40)])
def test_fitted_on_features(clips, width) -> None:
    draw = np.random.default_rng(0)
    features = (draw.normal(size=(clips, width)) * np.linspace(3, 0.5, width)).astype(np.float32)
    pca = WhiteningPCA(width, 6)
    pca.fit(torch.from_numpy(features))
    found = pca(torch.from_numpy(features)).numpy()

    values, vectors = np.linalg.eigh(np.cov(features.astype(np.float64).T))
    centred = features - features.mean(axis=0)
    expected = (centred @ vectors[:, ::-1] / np.sqrt(values[::-1] + 1e-4))[:, :6]
    # The sign of a component is free.
    expected *= np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found, eight_bits(expected), atol=4 / 255 + 1e-6)
    assert (np.abs(found - eight_bits(expected)) < 1e-6).mean() > 0.99
    assert found.max() > 2  # something was clipped


def write_published(folder: Path, width: int) -> dict[str, np.ndarray]:
    """Files shaped as those of yt8m_pca.tgz."""
    draw = np.random.default_rng(1)
    arrays = {
        "mean": draw.normal(size=(width, 1)),
        "eigenvals": np.sort(draw.random((width, 1)), axis=0)[::-1],
        "eigenvecs": np.linalg.qr(draw.normal(size=(width, width)))[0],
    }
    folder.mkdir()
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return arrays


def test_published_matrices(tmp_path) -> None:
    arrays = write_published(tmp_path / "pca", 16)
    features = np.random.default_rng(2).normal(size=(5, 16)).astype(np.float32)
    pca = WhiteningPCA(16, 8, tmp_path / "pca")
    pca.fit(torch.zeros(2, 16))  # nothing is learned from these

    # apply_pca of YouTube-8M's feature_extractor.py
    mean, eigenvals = arrays["mean"][:, 0], arrays["eigenvals"][:8, 0]
    expected = (features - mean) @ arrays["eigenvecs"].T[:, :8] / np.sqrt(eigenvals + 1e-4)
    np.testing.assert_allclose(pca(torch.from_numpy(features)), eight_bits(expected), atol=1e-5)


def trained(features: Path, folder: Path, *settings: str) -> RunFolder:
    epochs = ["stage1.max_epochs=2", "stage2.max_epochs=1"]
    small = ["model.hidden=[16]", "batch_size=16", f"features={features}"]
    config = load_config(None, [*small, *epochs, *settings])
    dataset = load_dataset(features, config.data)
    run = RunFolder(folder)
    with run.opened(config, dataset):
        train(dataset, config, run)
    return run


def test_a_run_keeps_the_pca_of_its_training_clips(feature_file, tmp_path) -> None:
    run = trained(feature_file(), tmp_path / "run", "model.visual_pca=8")
    dataset = load_dataset(run.config().features, run.config().data)
    tensors = run.load("best").tensors
    np.testing.assert_allclose(
        tensors["visual.pca.mean"], dataset.train.visual.mean(dim=0), atol=1e-5
    )
    assert tensors["visual.pca.components"].shape == (8, 24)
    embedded = embed_test_split(run)
    assert torch.isfinite(embedded.visual).all()
    assert embedded.visual.std(dim=0).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.visual_pca=24"], None),
        (["model.visual_pca=25"], "24 dimensions only; set model.visual_pca=24 or less"),
        (["model.visual_pca=20"], "more than 20 training clips .* there are 16; set .*=15"),
        (["model.visual_pca=8", "model.yt8m_pca=absent"], r"absent/mean.npy.*yt8m_pca.tgz"),
    ],
)
def test_what_cannot_be_fitted_is_refused(feature_file, settings, message) -> None:
    features = feature_file(train=16 if "=20" in settings[0] else 64)
    config = load_config(None, settings)
    dataset = load_dataset(features, config.data)
    if message is None:
        require_fitting_components(*dataset.train.visual.shape, config.model)
        return
    with pytest.raises(AvcmrError, match=message):
        require_fitting_components(*dataset.train.visual.shape, config.model)
    with pytest.raises(AvcmrError, match=message):
        TwoBranchNetwork.fitting(dataset, config.model).visual.fit_scaling(
            dataset.train.visual, dataset.train.labels
        )


def test_matrices_of_other_features_are_refused(tmp_path) -> None:
    write_published(tmp_path / "pca", 16)
    pca = WhiteningPCA(24, 8, tmp_path / "pca")
    with pytest.raises(SetupError, match=r"mean.npy: \(16, 1\), where visual features of 24"):
        pca.fit(torch.zeros(2, 24))


def test_matrices_need_a_number_of_components() -> None:
    with pytest.raises(UsageError, match="yt8m_pca needs visual_pca"):
        load_config(None, ["model.yt8m_pca=somewhere"])
