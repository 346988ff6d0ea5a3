"""The two-branch network against NumPy and scikit-learn, through its public interface."""

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax
from sklearn.feature_selection import f_classif
from sklearn.preprocessing import normalize

from avcmr.config import ModelConfig
from avcmr.features.dataset import Dataset, PairedFeatures
from avcmr.model.inference import embed
from avcmr.model.network import Branch, TwoBranchNetwork, mean_and_std

CLASSES = 3
ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


def clips(count: int, seed: int = 0) -> PairedFeatures:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    audio, visual = (
        draw.normal(3, 2, size=(count, dim)) + labels[:, None] * np.linspace(0, 3, dim)
        for dim in (5, 8)
    )
    rows = (torch.from_numpy(array).float() for array in (audio, visual))
    return PairedFeatures(tuple(map(str, range(count))), *rows, torch.from_numpy(labels))


def fitted(config: ModelConfig, train: PairedFeatures) -> TwoBranchNetwork:
    torch.manual_seed(0)
    network = TwoBranchNetwork(5, 8, config, classes=CLASSES)
    network.audio.fit_scaling(train.audio, train.labels)
    network.visual.fit_scaling(train.visual, train.labels)
    return network.eval().requires_grad_(False)


def by_numpy(
    branch: Branch, config: ModelConfig, rows: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Embeddings of a branch fitted to features; only the weights of its layers are read."""
    ratio, _ = f_classif(features, labels)
    clips = len(features)
    explained = ratio * (CLASSES - 1) / (ratio * (CLASSES - 1) + clips - CLASSES)
    adjusted = 1 - (1 - explained) * (clips - 1) / (clips - CLASSES)
    weights = (np.maximum(adjusted, 0) + 1e-3) ** config.feature_weights
    weighted = (features - features.mean(axis=0)) * weights
    values = (rows - features.mean(axis=0)) * weights / weighted.std()
    layers = [layer for layer in branch.layers if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate(layers):
        values = values @ layer.weight.double().numpy().T + layer.bias.double().numpy()
        if number < len(layers) - 1:
            values = ACTIVATIONS[config.activation](values)
    return normalize(values)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("hidden", [(), (7,), (6, 4)], ids=str)
def test_branches_are_weighted_multilayer_perceptrons(activation, power, hidden) -> None:
    config = ModelConfig(
        embedding_dim=4, hidden=hidden, activation=activation, feature_weights=power
    )
    train, test = clips(60), clips(9, seed=1)
    network = fitted(config, train)
    audio, visual = network(test.audio, test.visual)
    assert audio.shape == visual.shape == (9, 4)
    for found, branch, which in (
        (audio, network.audio, "audio"),
        (visual, network.visual, "visual"),
    ):
        rows = getattr(test, which).double().numpy()
        features = getattr(train, which).double().numpy()
        expected = by_numpy(branch, config, rows, features, train.labels.numpy())
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_without_a_temperature_retrieval_uses_the_embeddings() -> None:
    train, test = clips(60), clips(9, seed=1)
    network = fitted(ModelConfig(posterior_temperature=0), train)
    network.fit_posterior(train)
    assert network.posterior is None
    for found, expected in zip(embed(network, test), network(test.audio, test.visual), strict=True):
        torch.testing.assert_close(found, expected)


def test_with_a_temperature_the_cosine_is_class_posterior_similarity() -> None:
    train, test = clips(60), clips(9, seed=1)
    network = fitted(ModelConfig(posterior_temperature=0.3), train)
    network.fit_posterior(train)
    of_train = torch.cat(network(train.audio, train.visual)).numpy()
    twice = np.tile(train.labels.numpy(), 2)
    prototypes = normalize([of_train[twice == c].mean(axis=0) for c in range(CLASSES)])
    audio, visual = (
        softmax(rows.numpy() @ prototypes.T / 0.3, axis=1)
        for rows in network(test.audio, test.visual)
    )
    found_audio, found_visual = embed(network, test)
    np.testing.assert_allclose(found_audio @ found_visual.T, audio @ visual.T, atol=1e-5)
    np.testing.assert_allclose(found_audio.norm(dim=1), np.ones(9), atol=1e-6)


def test_it_fits_the_widths_and_classes_of_a_data_set() -> None:
    part = clips(12)
    dataset = Dataset(part, part, part, ("a", "b", "c"), (), "synthetic")
    network = TwoBranchNetwork.fitting(dataset, ModelConfig(embedding_dim=6, visual_pca=4))
    network.visual.fit_scaling(part.visual, part.labels)
    assert (network.audio_dim, network.visual_dim) == (5, 8)
    assert network.posterior is not None
    assert network.posterior.prototypes.shape == (3, 6)
    assert [len(rows[0]) for rows in network(part.audio, part.visual)] == [6, 6]


def test_the_standard_deviation_is_one_of_all_dimensions_together() -> None:
    features = clips(30).audio
    mean, std = mean_and_std(features)
    np.testing.assert_allclose(mean, features.numpy().mean(axis=0), rtol=1e-5)
    centred = features.double().numpy() - features.double().numpy().mean(axis=0)
    assert float(std) == pytest.approx(np.sqrt((centred**2).mean()), rel=1e-5)
    _, constant = mean_and_std(torch.full((4, 3), 2.0))
    assert constant == 1
