"""Methods side by side: the same features, splits, rule of selection and measure for all.

A comparison is a folder: ``comparison.json`` says on what data and with which settings,
``results.jsonl`` has a line for each method and seed, written as soon as it is done, and ``runs/``
the run folders of our own method and its ablations. The same command again goes on where it was
stopped, with more methods or more seeds too.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from scipy.stats import t as student_t

from avcmr.baselines import Category, validation_map
from avcmr.config import Config, differences
from avcmr.data import Dataset, load_dataset
from avcmr.methods import all_methods
from avcmr.metrics import evaluate, map_prefix_averaged
from avcmr.runs import write_whole
from preprocessing.errors import SetupError

CATEGORIES: tuple[Category, ...] = ("ours", "trained", "closed form", "chance", "joint input")
"""In the order they are shown in."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One method with one seed, measured on the test clips.

    Attributes:
        method: its name.
        category: see ``Method``.
        seed: 0, 1, … after the first seed of the settings.
        audio_to_visual: MAP.
        visual_to_audio: MAP.
        validation: mean of both on the validation clips, by which nothing more is chosen here.
        prefix_averaged_audio_to_visual: not MAP, see ``metrics.map_prefix_averaged``.
        prefix_averaged_visual_to_audio: likewise.
        seconds: of learning, choice on validation included, on one thread; of a run that was
            stopped and resumed, since then.
    """

    method: str
    category: Category
    seed: int
    audio_to_visual: float
    visual_to_audio: float
    validation: float
    prefix_averaged_audio_to_visual: float
    prefix_averaged_visual_to_audio: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean over seeds, and half the width of its 95% interval (Student's t); None for one run."""

    mean: float
    margin: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        if len(values) < 2:
            return cls(mean(values), None)
        quantile = float(student_t.ppf(0.975, len(values) - 1))
        return cls(mean(values), quantile * stdev(values) / sqrt(len(values)))

    def __str__(self) -> str:
        margin = "" if self.margin is None else f" ±{self.margin:.3f}"
        return (f"{self.mean:.3f}" + margin).replace("±0.", "±.")


@dataclass(frozen=True, slots=True)
class Summary:
    """A method over its seeds.

    Attributes:
        method: its name.
        category: see ``Method``.
        source: who described it.
        runs: how many seeds; 1 where the seed changes nothing.
        audio_to_visual: MAP.
        visual_to_audio: MAP.
        average: of the two.
        seconds: mean time of learning.
    """

    method: str
    category: Category
    source: str
    runs: int
    audio_to_visual: Estimate
    visual_to_audio: Estimate
    average: Estimate
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A folder with a comparison in it."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def _results(self) -> Path:
        return self.folder / "results.jsonl"

    @contextmanager
    def opened(self, config: Config, dataset: Dataset) -> Iterator[None]:
        """Make the folder, or check that it belongs to this data and these settings; alone.

        Raises:
            SetupError: it holds a comparison of other features or settings, or another process
                is at work in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "lock", blocking=False):
                self._check(config.model_copy(update={"features": None}), dataset)
                yield
        except Timeout:
            raise SetupError(
                f"{self.folder}: another comparison is at work here; wait for it to end, "
                "or use another --out"
            ) from None

    def outcomes(self) -> list[Outcome]:
        """What has been measured so far."""
        if not self._results.exists():
            return []
        lines = self._results.read_text(encoding="utf-8").splitlines()
        return [Outcome(**json.loads(line)) for line in lines]

    def add(self, outcome: Outcome) -> None:
        """Write one more line; the file is replaced as a whole and so never half-written."""
        lines = [json.dumps(asdict(one)) + "\n" for one in (*self.outcomes(), outcome)]
        write_whole(self._results, "".join(lines).encode())

    def _check(self, config: Config, dataset: Dataset) -> None:
        identity = self.folder / "comparison.json"
        if identity.exists():
            found = json.loads(identity.read_text(encoding="utf-8"))
            remedy = "use another --out, or remove the folder"
            if found["fingerprint"] != dataset.fingerprint:
                raise SetupError(
                    f"{self.folder}: compares methods on other features or splits; {remedy}"
                )
            changed = differences(Config.model_validate(found["config"]), config)
            if changed:
                raise SetupError(
                    f"{self.folder}: compares with other settings ({'; '.join(changed)}); {remedy}"
                )
        content = {"fingerprint": dataset.fingerprint, "config": config.model_dump(mode="json")}
        write_whole(identity, json.dumps(content, indent=2).encode())


def compare(
    comparison: Comparison,
    features: Path,
    config: Config,
    names: Sequence[str],
    *,
    seeds: int,
    jobs: int = 1,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Measure each method with each seed, except what has been measured before.

    Args:
        comparison: the folder, opened.
        features: a file that ``load_dataset`` reads.
        config: settings of all methods; ``seed`` is the first seed.
        names: methods, as ``check_names`` gives them.
        seeds: how many; methods that do not depend on the seed run once.
        jobs: processes, of one thread each.
        on_outcome: called with each new outcome.

    Returns:
        The outcomes of these methods and seeds, old and new.
    """
    config = config.model_copy(update={"features": None})  # may move without being others
    wanted = trials(config, names, seeds)
    known = {(one.method, one.seed): one for one in comparison.outcomes()}
    missing = [trial for trial in wanted if trial not in known]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for outcome in parallel(
        delayed(_measure)(name, features, config.model_copy(update={"seed": seed}), comparison.runs)
        for name, seed in missing
    ):
        comparison.add(outcome)
        known[outcome.method, outcome.seed] = outcome
        on_outcome(outcome)
    return [known[trial] for trial in wanted]


def trials(config: Config, names: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """Which methods with which seeds are to be measured."""
    known = all_methods(Path())
    return [
        (name, config.seed + index)
        for name in names
        for index in range(seeds if known[name].seeded else 1)
    ]


def summarise(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Each method over its seeds, by category and then the best first."""
    known = all_methods(Path())
    summaries = []
    for name in dict.fromkeys(outcome.method for outcome in outcomes):
        runs = [outcome for outcome in outcomes if outcome.method == name]
        forth, back = [run.audio_to_visual for run in runs], [run.visual_to_audio for run in runs]
        summaries.append(
            Summary(
                method=name,
                category=runs[0].category,
                source=known[name].source,
                runs=len(runs),
                audio_to_visual=Estimate.of(forth),
                visual_to_audio=Estimate.of(back),
                average=Estimate.of([(a + b) / 2 for a, b in zip(forth, back, strict=True)]),
                seconds=mean(run.seconds for run in runs),
            )
        )
    return sorted(summaries, key=lambda one: (CATEGORIES.index(one.category), -one.average.mean))


def to_dict(outcomes: Sequence[Outcome], dataset: Dataset) -> dict[str, Any]:
    """Everything measured, for a JSON reader."""
    return {
        "fingerprint": dataset.fingerprint,
        "clips": {part: len(getattr(dataset, part)) for part in ("train", "val", "test")},
        "warnings": dataset.warnings,
        "methods": [asdict(summary) for summary in summarise(outcomes)],
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


_load = lru_cache(maxsize=1)(load_dataset)  # each process reads the features once


def _measure(name: str, features: Path, config: Config, runs: Path) -> Outcome:
    method = all_methods(runs)[name]
    dataset = _load(features, config.data)
    with _one_thread():
        started = time.perf_counter()
        embedder = method.fit(dataset.train, dataset.val, config)
        seconds = time.perf_counter() - started
        test = dataset.test
        audio, visual = embedder(test.audio, test.visual)
        result = evaluate(audio, visual, test.labels, dataset.class_names)
        return Outcome(
            method=name,
            category=method.category,
            seed=config.seed,
            audio_to_visual=result.audio_to_visual.map,
            visual_to_audio=result.visual_to_audio.map,
            validation=validation_map(embedder, dataset.val),
            prefix_averaged_audio_to_visual=map_prefix_averaged(
                audio, visual, test.labels, test.labels
            ),
            prefix_averaged_visual_to_audio=map_prefix_averaged(
                visual, audio, test.labels, test.labels
            ),
            seconds=seconds,
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """So that times can be compared, and jobs do not share cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
