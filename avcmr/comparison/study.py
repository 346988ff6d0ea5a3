"""Methods compared on the same features and splits, with the same model selection and metrics.

A comparison is a folder: ``comparison.json`` identifies the data and the settings,
``results.jsonl`` has a line for each method and seed, written as soon as it is done,
``precisions/`` the average precision of each test clip, and ``runs/`` the run folders of our own
method and its ablations. The same command resumes an interrupted comparison, and adds methods or
seeds to a finished one.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from avcmr.comparison.ablations import run_folders
from avcmr.comparison.baselines.method import average_map
from avcmr.comparison.registry import all_methods
from avcmr.comparison.statistics import Floats, Outcome, Precisions, Summary
from avcmr.config import Config
from avcmr.config_files import differences, preset
from avcmr.features.dataset import Dataset, load_dataset
from avcmr.metrics.metrics import map_prefix_averaged
from avcmr.metrics.ranking import average_precisions
from avcmr.training.history import collapse_of
from avcmr.training.run_folder import write_whole
from preprocessing.errors import SetupError
from preprocessing.store.lock import FolderLock, HeldError

_FORMAT = 3
"""Of ``comparison.json`` and ``results.jsonl``."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The folder of a comparison."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def _results(self) -> Path:
        return self.folder / "results.jsonl"

    @contextmanager
    def opened(self, config: Config, dataset: Dataset) -> Iterator[None]:
        """Create the folder, or check that it is of this data and these settings; hold its lock.

        Raises:
            SetupError: it holds a comparison of other features or settings, or another process
                is using it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FolderLock(self.folder):
                self._check(config.model_copy(update={"features": None}), dataset)
                yield
        except HeldError as owner:
            raise SetupError(
                f"{self.folder}: another comparison is running here, {owner}; wait for it to end, "
                "or use another --out"
            ) from None

    def outcomes(self) -> list[Outcome]:
        """What has been measured so far."""
        if not self._results.exists():
            return []
        lines = self._results.read_text(encoding="utf-8").splitlines()
        return [Outcome(**json.loads(line)) for line in lines]

    def precisions(self, outcomes: Sequence[Outcome]) -> Precisions:
        """Average precisions of the test clips, for outcomes of this folder."""
        return {
            (one.method, one.seed): np.load(self._precisions(one.method, one.seed))
            for one in outcomes
        }

    def add(self, outcome: Outcome, precisions: Floats) -> None:
        """Write one more line; the file is replaced as a whole, so never half-written."""
        array = BytesIO()
        np.save(array, precisions)
        target = self._precisions(outcome.method, outcome.seed)
        target.parent.mkdir(exist_ok=True)
        write_whole(target, array.getvalue())
        lines = [json.dumps(asdict(one)) + "\n" for one in (*self.outcomes(), outcome)]
        write_whole(self._results, "".join(lines).encode())

    def _precisions(self, method: str, seed: int) -> Path:
        return self.folder / "precisions" / f"{method}-{seed}.npy"

    def _check(self, config: Config, dataset: Dataset) -> None:
        identity = self.folder / "comparison.json"
        if identity.exists():
            found = json.loads(identity.read_text(encoding="utf-8"))
            remedy = "use another --out, or remove the folder"
            if found.get("format") != _FORMAT:
                raise SetupError(
                    f"{self.folder}: a comparison by another version of avcmr; {remedy}"
                )
            if found["fingerprint"] != dataset.fingerprint:
                raise SetupError(
                    f"{self.folder}: compares methods on other features or splits; {remedy}"
                )
            changed = differences(Config.model_validate(found["config"]), config)
            if changed:
                raise SetupError(
                    f"{self.folder}: compares with other settings ({'; '.join(changed)}); {remedy}"
                )
        content = {
            "format": _FORMAT,
            "fingerprint": dataset.fingerprint,
            "config": config.model_dump(mode="json"),
        }
        write_whole(identity, json.dumps(content, indent=2).encode())


def compare(
    comparison: Comparison,
    features: Path,
    config: Config,
    names: Sequence[str],
    *,
    seeds: int,
    jobs: int = 1,
    prefix_averaged: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Measure each method with each seed, except those measured before.

    ``config.seed`` is the first seed; methods that do not depend on one run once. Each of ``jobs``
    processes has one thread. ``prefix_averaged`` adds the inflated MAP that some publications
    report.

    Returns:
        The outcomes of these methods and seeds, old and new.
    """
    config = config.model_copy(update={"features": None})  # the file may have moved
    wanted = trials(config, names, seeds)
    known = {(one.method, one.seed): one for one in comparison.outcomes()}
    missing = [trial for trial in wanted if trial not in known]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    code = code_version()
    for outcome, precisions in parallel(
        delayed(_measure)(
            name,
            features,
            config.model_copy(update={"seed": seed}),
            comparison.runs,
            code=code,
            prefix_averaged=prefix_averaged,
        )
        for name, seed in missing
    ):
        comparison.add(outcome, precisions)
        known[outcome.method, outcome.seed] = outcome
        on_outcome(outcome)
    return [known[trial] for trial in wanted]


def trials(config: Config, names: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """The methods and seeds to measure."""
    known = all_methods(Path())
    return [
        (name, config.seed + index)
        for name in names
        for index in range(seeds if known[name].seeded else 1)
    ]


def to_dict(
    outcomes: Sequence[Outcome], summaries: Sequence[Summary], dataset: Dataset
) -> dict[str, Any]:
    """Everything measured, as plain containers for JSON."""
    return {
        "fingerprint": dataset.fingerprint,
        "clips": {part: len(getattr(dataset, part)) for part in ("train", "val", "test")},
        "warnings": dataset.warnings,
        "methods": [asdict(summary) for summary in summaries],
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


_load = lru_cache(maxsize=1)(load_dataset)  # each process reads the features once


_MEASURED_CODE = (
    "config.py",
    "metrics/*.py",
    "model/*.py",
    "training/*.py",
    "comparison/study.py",
    "comparison/ablations.py",
    "comparison/baselines/*.py",
)
"""What decides the numbers, beside data and settings, which are checked by themselves."""


@cache
def code_version() -> str:
    """avcmr's version, and a digest of the code that trains and measures the methods."""
    package = Path(__file__).parents[1]
    files = sorted(file for part in _MEASURED_CODE for file in package.glob(part))
    digest = sha256(b"".join(file.read_bytes() for file in [*files, preset("paper")])).hexdigest()
    return f"{version('avcmr')}+{digest[:12]}"


def _measure(
    name: str, features: Path, config: Config, runs: Path, *, code: str, prefix_averaged: bool
) -> tuple[Outcome, Floats]:
    """The outcome, and (2, N) average precisions of the test clips."""
    method = all_methods(runs)[name]
    dataset = _load(features, config.data)
    test, labels = dataset.test, dataset.test.labels
    with _one_thread():
        started = time.perf_counter()
        choice = method.learn(dataset.train, dataset.val, config)
        seconds = time.perf_counter() - started
        audio, visual = choice.by_posterior(test.audio, test.visual)
        directions = ((audio, visual, labels, labels), (visual, audio, labels, labels))
        precisions = torch.stack([average_precisions(*direction) for direction in directions])
        audio_to_visual, visual_to_audio = precisions.mean(dim=1).tolist()
        histories = [run.history() for run in run_folders(runs, name, config.seed)]
        outcome = Outcome(
            method=name,
            category=method.category,
            seed=config.seed,
            audio_to_visual=audio_to_visual,
            visual_to_audio=visual_to_audio,
            by_cosine=average_map(choice.by_cosine, test),
            validation=average_map(choice.by_posterior, dataset.val),
            collapsed=any(collapse_of(history) is not None for history in histories),
            seconds=seconds,
            code=code,
            prefix_averaged=[map_prefix_averaged(*direction) for direction in directions]
            if prefix_averaged
            else None,
        )
    return outcome, precisions.float().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, so that times are comparable and jobs do not share cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
