"""Synthetic features have the structure they claim, and no ranking beats their ideal."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from avcmr.metrics.metrics import evaluate_retrieval, expected_chance
from avcmr.model.class_posterior import posterior_vectors

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from difficulty import SIZES, Source, Structure, draw, ideal

SMALL = Structure(
    classes=4, overlap=0.8, subclusters=2, shared=3, private_factors=2, dimensions=(5, 7)
)


def test_posteriors_are_those_of_the_mixture_of_normals() -> None:
    source = Source(SMALL, seed=3)
    clips = source.clips(50)
    for side, features, shared, private, found in zip(
        (-1, 1),
        (clips.audio, clips.visual),
        source._maps,
        source._private,
        source.posteriors(clips),
        strict=True,
    ):
        covariance = (
            SMALL.overlap**2 * shared.T @ shared
            + SMALL.private**2 * private.T @ private
            + SMALL.noise**2 * torch.eye(shared.shape[1], dtype=torch.float64)
        ).numpy()
        density = np.zeros((50, SMALL.classes))
        for cluster, centre in enumerate(source._centres @ shared + side * SMALL.gap / 2):
            density[:, cluster // SMALL.subclusters] += multivariate_normal(
                centre.numpy(), covariance
            ).pdf(features.double().numpy())
        expected = density / density.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_posteriors_are_calibrated() -> None:
    source = Source(SMALL, seed=0)
    clips = source.clips(20_000)
    for posterior in source.posteriors(clips):
        sure, guess = posterior.max(dim=1)
        right = (guess == clips.labels).double()
        for low in (0.4, 0.6, 0.8):
            among = (sure >= low) & (sure < low + 0.2)
            assert among.sum() > 500
            assert abs(right[among].mean() - sure[among].mean()) < 0.03


def test_no_other_ranking_finds_more_of_the_class_among_the_first() -> None:
    """The probability ranking principle (Robertson 1977), which the ideal follows."""
    source = Source(SMALL, seed=1)
    clips = source.clips(4_000)
    audio, visual = source.posteriors(clips)

    def precision(audio: Tensor, visual: Tensor) -> float:
        """Precision of the first quarter, which is as many as a class has."""
        query, gallery = posterior_vectors(audio, "audio"), posterior_vectors(visual, "visual")
        labels = clips.labels
        result = evaluate_retrieval(query, gallery, labels, labels, SMALL.classes, ks=[1_000])
        return result.precision_at[1_000]

    sharper = precision(*(p**3 / (p**3).sum(dim=1, keepdim=True) for p in (audio, visual)))
    hardest = precision(*(torch.eye(SMALL.classes)[p.argmax(dim=1)] for p in (audio, visual)))
    noisier = precision(*((p + 0.3 * torch.rand_like(p)).softmax(dim=1) for p in (audio, visual)))
    assert precision(audio, visual) > max(sharper, hardest, noisier)


def test_the_ideal_falls_from_certain_to_chance_as_classes_overlap() -> None:
    reached = []
    for overlap in (0.01, 0.5, 1.0, 2.0, 50.0):
        source = Source(replace(SMALL, overlap=overlap, noise=0.01, private=0.01), seed=2)
        clips = source.clips(1_000)
        reached.append(ideal(source, clips))
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > 0.999
    assert reached[-1] == pytest.approx(expected_chance(clips.labels), abs=0.03)


def test_wrong_labels_are_in_training_and_validation_alone() -> None:
    noisy = replace(SMALL, overlap=0.01, noise=0.01, private=0.01, label_noise=0.4)
    source, parts = draw(noisy, (4_000, 4_000, 4_000), 0)
    for clips, wrong in zip(parts, (0.3, 0.3, 0.0), strict=True):  # a quarter is right by chance
        said = source.posteriors(clips)[1].argmax(dim=1)
        assert (said != clips.labels).double().mean() == pytest.approx(wrong, abs=0.03)


def test_modalities_lie_the_gap_apart_and_sizes_are_those_of_the_data_sets() -> None:
    structure = replace(SMALL, gap=3.0, dimensions=(6, 6))
    clips = Source(structure, seed=0).clips(500)
    away = Source(replace(structure, gap=0.0), seed=0).clips(500)
    torch.testing.assert_close(clips.audio - away.audio, torch.full((500, 6), -1.5))
    torch.testing.assert_close(clips.visual - away.visual, torch.full((500, 6), 1.5))
    classes, sizes = SIZES["ave"]
    drawn = draw(Structure(classes, 1.0), sizes, 0)[1]
    assert [len(part) for part in drawn] == [1560, 195, 195]
    assert drawn[0].audio.shape[1:] == (128,)
    assert drawn[0].visual.shape[1:] == (1024,)
