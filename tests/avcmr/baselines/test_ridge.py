"""Ridge regression against scikit-learn's, linear and with a kernel."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import KernelCenterer

from avcmr.baselines import Classifier, average_map, ridge
from avcmr.baselines.cca import Scaling
from avcmr.baselines.kernel_cca import NystroemFeatures, gaussian_kernel
from avcmr.config import Config

STRENGTHS = pytest.mark.parametrize("strength", [0.03, 1.0])


@STRENGTHS
def test_linear_scores_are_those_of_scikit_learn(train, test, strength: float) -> None:
    scaling = Scaling.of(train.visual)
    targets = np.eye(4)[train.labels]
    reference = Ridge(alpha=strength * len(train)).fit(scaling(train.visual), targets)
    ours = ridge.Regression.of(ridge.linear(train.visual), train.visual, train.labels, 4)
    expected = reference.predict(scaling(test.visual))
    np.testing.assert_allclose(ours.scores(strength)(test.visual), expected, atol=1e-10)


@STRENGTHS
def test_kernel_scores_are_those_of_scikit_learn(train, test, strength: float) -> None:
    """All training clips are landmarks, so nothing is approximated."""
    scaling = Scaling.of(train.audio)
    x, unseen = scaling(train.audio), scaling(test.audio)
    centre = KernelCenterer()
    kernel = centre.fit_transform(gaussian_kernel(x, x).numpy())
    targets = np.eye(4)[train.labels]
    shares = targets.mean(axis=0)
    reference = KernelRidge(alpha=strength * len(train), kernel="precomputed")
    reference.fit(kernel, targets - shares)
    expected = reference.predict(centre.transform(gaussian_kernel(unseen, x).numpy())) + shares
    ours = ridge.Regression.of(ridge.gaussian(train.audio), train.audio, train.labels, 4)
    np.testing.assert_allclose(ours.scores(strength)(test.audio), expected, atol=1e-7)


def test_fewer_landmarks_come_near(train, test) -> None:
    every, most = (
        ridge.Regression.of(
            NystroemFeatures.of(train.audio, gaussian_kernel, landmarks),
            train.audio,
            train.labels,
            4,
        ).scores(0.1)(test.audio)
        for landmarks in (160, 80)
    )
    assert float((every - most).abs().max()) < 0.1


def test_ridge_and_temperature_are_the_best_on_validation(train, val, test) -> None:
    config = Config()
    choice = ridge.fit(train, val, config)
    audio, visual = (
        ridge.Regression.of(ridge.linear(features), features, train.labels, 4)
        for features in (train.audio, train.visual)
    )
    reached = {}
    for strength in ridge.RIDGES:
        for temperature in ridge.TEMPERATURES:
            shares = [
                torch.tensor(softmax(part.scores(strength)(features) / temperature, axis=1))
                for part, features in ((audio, val.audio), (visual, val.visual))
            ]
            reached[strength, temperature] = average_map(lambda *_: shares, val)  # noqa: B023
    embedder = choice.by_cosine
    assert isinstance(embedder, Classifier)
    assert average_map(embedder, val) == pytest.approx(max(reached.values()), abs=1e-6)
    torch.testing.assert_close(embedder.audio(test.audio).sum(dim=1), torch.ones(len(test)))
