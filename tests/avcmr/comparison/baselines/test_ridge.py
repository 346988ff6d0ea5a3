"""Ridge regression against scikit-learn's, linear and with a kernel."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import KernelCenterer

from avcmr.comparison.baselines import ridge
from avcmr.comparison.baselines.cca import Scaling
from avcmr.comparison.baselines.kernel_cca import NystroemFeatures, gaussian_kernel
from avcmr.comparison.baselines.method import Classifier, average_map
from avcmr.config import Config
from avcmr.metrics.metrics import map_both_ways

STRENGTHS = pytest.mark.parametrize("strength", [0.03, 1.0])


@STRENGTHS
def test_linear_scores_are_those_of_scikit_learn(train, test, strength: float) -> None:
    scaling = Scaling.of(train.visual)
    targets = np.eye(4)[train.labels]
    reference = Ridge(alpha=strength * len(train)).fit(scaling(train.visual), targets)
    lift = ridge.Scaling.of(train.visual)
    ours = ridge.Regression.of(lift(train.visual), train.labels, 4)
    expected = reference.predict(scaling(test.visual))
    np.testing.assert_allclose(ours.scores(strength)(lift(test.visual)), expected, atol=1e-10)


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
    lift = ridge.gaussian(train.audio)
    ours = ridge.Regression.of(lift(train.audio), train.labels, 4)
    np.testing.assert_allclose(ours.scores(strength)(lift(test.audio)), expected, atol=1e-7)


def test_fewer_landmarks_come_near(train, test) -> None:
    lifts = [NystroemFeatures.of(train.audio, gaussian_kernel, most) for most in (160, 80)]
    every, most = (
        ridge.Regression.of(lift(train.audio), train.labels, 4).scores(0.1)(lift(test.audio))
        for lift in lifts
    )
    assert float((every - most).abs().max()) < 0.1


def test_ridge_and_temperature_are_the_best_on_validation(train, val, test) -> None:
    config = Config()
    choice = ridge.fit(train, val, config)
    sides = []
    for of_train, of_val in ((train.audio, val.audio), (train.visual, val.visual)):
        lift = ridge.Scaling.of(of_train)
        sides.append((ridge.Regression.of(lift(of_train), train.labels, 4), lift(of_val)))
    reached = []
    for strength in ridge.RIDGES:
        for temperature in ridge.TEMPERATURES:
            shares = [
                torch.tensor(softmax(side.scores(strength)(phi) / temperature, axis=1))
                for side, phi in sides
            ]
            reached.append(map_both_ways(*shares, val.labels).average)
    embedder = choice.by_cosine
    assert isinstance(embedder, Classifier)
    assert average_map(embedder, val) == pytest.approx(max(reached), abs=1e-6)
    torch.testing.assert_close(embedder.audio(test.audio).sum(dim=1), torch.ones(len(test)))
