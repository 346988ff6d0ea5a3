"""CCA and its kin against scikit-learn, NumPy's closed form, and pairs formed one by one."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cross_decomposition import CCA
from torch import Tensor
from torch.nn.functional import normalize

from avcmr.comparison.baselines.cca import Scaling, Spectrum, canonical_directions, covariances, fit
from avcmr.comparison.baselines.cluster_cca import ClassPairs
from avcmr.comparison.baselines.kernel_cca import (
    NystroemFeatures,
    fit_kernel,
    gaussian_kernel,
)
from avcmr.comparison.baselines.method import Embedder
from avcmr.config_files import load_config
from avcmr.features.dataset import PairedFeatures


def correlations(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    return [float(np.corrcoef(x[:, k], y[:, k])[0, 1]) for k in range(x.shape[1])]


def test_directions_are_those_of_scikit_learn(train, test) -> None:
    x, y = (Scaling.of(part)(part) for part in (train.audio, train.visual))
    found = canonical_directions(*covariances(x, y))
    reference = CCA(n_components=3, scale=False, max_iter=5000, tol=1e-12).fit(x, y)
    ours = correlations((x @ found.x).numpy()[:, :3], (y @ found.y).numpy()[:, :3])
    assert ours == pytest.approx(correlations(*reference.transform(x, y)), abs=1e-6)
    assert ours == pytest.approx(found.correlations[:3].tolist(), abs=1e-12)
    # The same variates on unseen clips, up to their signs.
    unseen = Scaling.of(train.audio)(test.audio)
    theirs = reference.transform(unseen.numpy())
    for k in range(3):
        cosine = np.corrcoef((unseen @ found.x[:, k]).numpy(), theirs[:, k])[0, 1]
        assert abs(cosine) == pytest.approx(1, abs=1e-5)


def test_ridge_is_that_of_the_generalised_eigenproblem(train) -> None:
    """Sxy (Syy + r)⁻¹ Syx a = ρ² (Sxx + r) a."""
    x, y = (Scaling.of(part)(part).numpy() for part in (train.audio, train.visual))
    n, ridge = len(x), 0.3
    sxx, syy = x.T @ x / n + ridge * np.eye(6), y.T @ y / n + ridge * np.eye(9)
    sxy = x.T @ y / n
    squared = np.linalg.eigvals(np.linalg.solve(sxx, sxy @ np.linalg.solve(syy, sxy.T))).real
    found = canonical_directions(*covariances(torch.tensor(x), torch.tensor(y)), ridge)
    assert found.correlations.square().tolist() == pytest.approx(sorted(squared)[::-1], abs=1e-12)


def test_a_feature_that_never_varies_does_no_harm(train) -> None:
    x = Scaling.of(train.audio)(train.audio)
    y = Scaling.of(train.visual)(train.visual)
    dead = torch.cat([x, torch.zeros(len(x), 1, dtype=x.dtype)], dim=1)
    with_it, without = (canonical_directions(*covariances(part, y)) for part in (dead, x))
    torch.testing.assert_close(with_it.correlations[:6], without.correlations)
    assert bool(with_it.x.isfinite().all())


def test_cluster_cca_is_cca_over_all_pairs_of_one_class(train) -> None:
    rows = [
        (i, j)
        for i, a in enumerate(train.labels.tolist())
        for j, b in enumerate(train.labels.tolist())
        if a == b
    ]
    x, y = train.audio.double(), train.visual.double()
    explicit_x = x[[i for i, _ in rows]]
    explicit_y = y[[j for _, j in rows]]
    pairs = ClassPairs.of(x, y, train.labels)
    torch.testing.assert_close(pairs.mean_x, explicit_x.mean(dim=0))
    torch.testing.assert_close(pairs.mean_y, explicit_y.mean(dim=0))
    spectra = covariances(explicit_x - explicit_x.mean(dim=0), explicit_y - explicit_y.mean(dim=0))
    explicit = canonical_directions(*spectra, 0.1)
    ours = canonical_directions(Spectrum.of(pairs.xx), Spectrum.of(pairs.yy), pairs.xy, 0.1)
    torch.testing.assert_close(ours.correlations[:3], explicit.correlations[:3])
    torch.testing.assert_close(ours.x[:, :3].abs(), explicit.x[:, :3].abs())
    assert float(ours.correlations[3]) < 1e-7  # four class means span three dimensions


def similarities(embedder: Embedder, clips: PairedFeatures) -> Tensor:
    """(N, N) cosines, which the signs of the directions do not touch."""
    audio, visual = (normalize(part, dim=1) for part in embedder(clips.audio, clips.visual))
    return audio @ visual.T


@pytest.mark.parametrize("landmarks", [160, 20])
def test_kernel_cca_with_inner_products_is_cca(train, val, test, landmarks) -> None:
    """All training clips are landmarks, or some that span the 6 and 9 dimensions as well."""
    by_cosine = load_config(None, ["model.posterior_temperature=0"])
    kernel = fit_kernel(train, val, by_cosine, lambda x, y: x @ y.T, landmarks).by_posterior
    plain = fit(train, val, by_cosine).by_posterior
    torch.testing.assert_close(similarities(kernel, test), similarities(plain, test))


def test_fewer_landmarks_approximate_all_of_them(train, test) -> None:
    every, most = (NystroemFeatures.of(train.audio, gaussian_kernel, n) for n in (160, 80))
    exact, near = (phi(test.audio) @ phi(test.audio).T for phi in (every, most))
    assert float((exact - near).norm() / exact.norm()) < 0.1


def test_nystroem_features_of_all_clips_give_their_kernel(train) -> None:
    phi = NystroemFeatures.of(train.audio, gaussian_kernel, 160)
    x = Scaling.of(train.audio)(train.audio).numpy()
    squared = ((x[:, None] - x[None, :]) ** 2).sum(axis=2)
    kernel = 6 * np.exp(-squared / 12)
    centre = np.eye(160) - 1 / 160
    ours = phi(train.audio).numpy()
    np.testing.assert_allclose(ours @ ours.T, centre @ kernel @ centre, atol=1e-6)
