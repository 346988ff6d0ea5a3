"""At which overlap of the classes hard mining collapses, and whether the curriculum does too.

    python benchmarks/difficulty.py [--size ave|vegas] [--methods NAMES] [--seeds N] [--jobs N]
                                    [--label-noise SHARE] [--gap G] [--private P]

Synthetic features have a known structure (:class:`Structure`), so the class posterior is known in
closed form, and with it the ideal: the MAP of ranking by the true class-posterior similarity. No
ranking has a higher expected precision at any k; in MAP, one that commits to the most likely class
may be some thousandths better.
There is a row for each overlap and a column for each method; MAP is the average of both directions
on test clips, over seeds. A star marks trainings whose embedding space collapsed in any epoch.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from joblib import Parallel, delayed
from torch import Tensor

from avcmr.comparison.ablations import run_folders
from avcmr.comparison.baselines.method import average_map, class_count
from avcmr.comparison.registry import all_methods, check_names
from avcmr.config_files import load_config
from avcmr.features.dataset import PairedFeatures
from avcmr.metrics.metrics import expected_chance, map_both_ways
from avcmr.model.class_posterior import posterior_vectors
from avcmr.training.history import collapse_of

OVERLAPS = (0.5, 1.0, 1.5, 2.0, 3.0)
METHODS = "hard-only,semi-hard-only,literal-stage-2,one-stage,ours,label-space,cluster-cca"
SIZES = {"ave": (15, (1560, 195, 195)), "vegas": (10, (8981, 1287, 2571))}
"""Classes, and clips for training, validation and test."""


@dataclass(frozen=True)
class Structure:
    """The generative model of the clips; the class centres have standard deviation 1.

    A class has ``subclusters`` centres around its own. A clip lies around one of them, in a space
    of ``shared`` factors. Each modality observes these through a linear map of its own, together
    with ``private_factors`` of its own and noise, shifted by the gap.

    Attributes:
        classes: how many, equally frequent.
        overlap: standard deviation of clips from their sub-cluster's centre.
        subclusters: per class.
        subcluster_spread: standard deviation of their centres from the class's.
        shared: number of factors common to both modalities.
        private_factors: number of factors of each modality alone.
        private: their standard deviation.
        noise: standard deviation of the noise in each dimension.
        gap: distance between the modalities' means in each dimension.
        label_noise: share of the training and validation labels that are random.
        dimensions: of audio and visual features.
    """

    classes: int
    overlap: float
    subclusters: int = 3
    subcluster_spread: float = 0.7
    shared: int = 16
    private_factors: int = 16
    private: float = 1.0
    noise: float = 0.5
    gap: float = 1.0
    label_noise: float = 0.0
    dimensions: tuple[int, int] = (128, 1024)


class Source:
    """Draws clips of a structure, and computes their true class posteriors."""

    def __init__(self, structure: Structure, seed: int) -> None:
        self.structure = s = structure
        self._generator = torch.Generator().manual_seed(seed)
        classes = self._normal(s.classes, 1, s.shared)
        centres = classes + s.subcluster_spread * self._normal(s.classes, s.subclusters, s.shared)
        self._centres = centres.flatten(0, 1)  # (K, shared), K = classes × subclusters
        self._maps = [self._normal(s.shared, d) / s.shared**0.5 for d in s.dimensions]
        self._private = [
            self._normal(s.private_factors, d) / s.private_factors**0.5 for d in s.dimensions
        ]

    def clips(self, count: int, *, label_noise: float = 0.0) -> PairedFeatures:
        """Draw clips, replacing this share of the labels by random ones."""
        s = self.structure
        cluster = torch.randint(len(self._centres), (count,), generator=self._generator)
        factors = self._centres[cluster] + s.overlap * self._normal(count, s.shared)
        audio, visual = (
            side * s.gap / 2
            + factors @ shared_map
            + s.private * self._normal(count, s.private_factors) @ private_map
            + s.noise * self._normal(count, shared_map.shape[1])
            for side, shared_map, private_map in zip(
                (-1, 1), self._maps, self._private, strict=True
            )
        )
        labels = cluster // s.subclusters
        random = torch.randint(s.classes, (count,), generator=self._generator)
        wrong = torch.rand(count, generator=self._generator) < label_noise
        ids = tuple(map(str, range(count)))
        return PairedFeatures(ids, audio.float(), visual.float(), random.where(wrong, labels))

    def posteriors(self, clips: PairedFeatures) -> tuple[Tensor, Tensor]:
        """(N, classes) twice: P(class | audio) and P(class | visual).

        Given its sub-cluster, a clip's features are Gaussian; all sub-clusters share a covariance.
        """
        s = self.structure
        posteriors = []
        for side, features, shared_map, private_map in zip(
            (-1, 1), (clips.audio, clips.visual), self._maps, self._private, strict=True
        ):
            covariance = (
                s.overlap**2 * shared_map.T @ shared_map
                + s.private**2 * private_map.T @ private_map
                + s.noise**2 * torch.eye(shared_map.shape[1], dtype=torch.float64)
            )
            means = side * s.gap / 2 + self._centres @ shared_map  # (K, D)
            root = torch.linalg.cholesky(covariance)
            white = torch.linalg.solve_triangular(
                root, torch.cat([features.double(), means]).T, upper=False
            ).T
            distances = torch.cdist(white[: len(features)], white[len(features) :])  # (N, K)
            likelihood = (-distances.square() / 2).softmax(dim=1)
            posteriors.append(likelihood.unflatten(1, (s.classes, s.subclusters)).sum(dim=2))
        return posteriors[0], posteriors[1]

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64)


def ideal(source: Source, clips: PairedFeatures) -> float:
    """Average MAP when ranked by the true class-posterior similarity."""
    audio, visual = source.posteriors(clips)
    audio, visual = posterior_vectors(audio, "audio"), posterior_vectors(visual, "visual")
    return map_both_ways(audio, visual, clips.labels).average


def measure(
    structure: Structure, sizes: tuple[int, ...], name: str, seed: int
) -> tuple[float, bool]:
    """Test MAP of a method, and whether its embedding space collapsed."""
    torch.set_num_threads(1)
    train, val, test = draw(structure, sizes, seed)[1]
    with tempfile.TemporaryDirectory() as folder:
        method = all_methods(Path(folder))[name]
        config = load_config(None, [f"seed={seed}"])
        reached = average_map(method.learn(train, val, config).by_posterior, test)
        runs = run_folders(Path(folder), name, seed)
        collapsed = any(collapse_of(run.history()) is not None for run in runs)
    return reached, collapsed


def draw(
    structure: Structure, sizes: tuple[int, ...], seed: int
) -> tuple[Source, tuple[PairedFeatures, ...]]:
    """A source, and its training, validation and test clips; test labels are never random."""
    source = Source(structure, seed)
    noise = (structure.label_noise, structure.label_noise, 0.0)
    parts = zip(sizes, noise, strict=True)
    return source, tuple(source.clips(count, label_noise=share) for count, share in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=list(SIZES), default="ave")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--label-noise", type=float, default=0.0)
    parser.add_argument("--gap", type=float, default=1.0)
    parser.add_argument("--private", type=float, default=1.0)
    arguments = parser.parse_args()
    names = check_names(arguments.methods.split(","))
    classes, sizes = SIZES[arguments.size]
    easiest = Structure(
        classes,
        OVERLAPS[0],
        label_noise=arguments.label_noise,
        gap=arguments.gap,
        private=arguments.private,
    )
    print(f"{easiest}, {arguments.seeds} seeds")
    print("overlap  chance  ideal  " + "  ".join(names))
    for overlap in OVERLAPS:
        structure = replace(easiest, overlap=overlap)
        seeds = range(arguments.seeds)
        drawn = [draw(structure, sizes, seed) for seed in seeds]
        assert all(class_count(parts[0]) == classes for _, parts in drawn)
        trials = [(name, seed) for name in names for seed in seeds]
        results = Parallel(n_jobs=arguments.jobs)(
            delayed(measure)(structure, sizes, name, seed) for name, seed in trials
        )
        row = [
            f"{overlap:7.1f}",
            f"{mean(expected_chance(parts[2].labels) for _, parts in drawn):6.3f}",
            f"{mean(ideal(source, parts[2]) for source, parts in drawn):5.3f}",
        ]
        for name in names:
            of_method = [r for (other, _), r in zip(trials, results, strict=True) if other == name]
            star = "*" if any(collapsed for _, collapsed in of_method) else ""
            row.append(f"{mean(reached for reached, _ in of_method):.3f}{star}".rjust(len(name)))
        print("  ".join(row), flush=True)


if __name__ == "__main__":
    main()
