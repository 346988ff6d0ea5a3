"""Building the collection that is searched, from features and a trained run."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from avcmr.features.dataset import Dataset, open_features, require_finite
from avcmr.features.provenance import clips_of, provenance_of, seconds_of_file
from avcmr.features.units import Units, units_of
from avcmr.model.network import TwoBranchNetwork
from avcmr.retrieval.collection import (
    Collection,
    Origin,
    read_collection,
    read_origin,
    write_collection,
)
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network, training_data
from preprocessing.clips import Clip
from preprocessing.errors import SetupError
from preprocessing.networks.weights import Report, sha256
from preprocessing.store import Provenance

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Index:
    """A collection, and what it was built from."""

    collection: Collection
    origin: Origin


def load_index(
    run: RunFolder, features: Path | None = None, *, report: Report = _logger.info
) -> Index:
    """The run's index, rebuilt and saved where it is missing or stale.

    By default of the features that were indexed before, or else of the run's own. ``report`` takes
    a line before clips are indexed.

    Raises:
        NotFoundError, SetupError: as :func:`build_index`.
    """
    run.config()  # first of all, refuse what is not a run
    origin = read_origin(run.index_file)
    if origin is not None and _is_current(run, origin, features):
        return Index(read_collection(run.index_file), origin)
    report(f"indexing {run.path} …")
    index = build_index(run, features or (origin.features if origin else None))
    try:
        write_collection(run.index_file, index.collection, index.origin)
    except OSError as error:
        _logger.warning("%s: the index cannot be saved there (%s)", run.path, error)
    return index


def _is_current(run: RunFolder, origin: Origin, features: Path | None = None) -> bool:
    """Whether an index is of these features, and neither they nor the weights have changed since.

    Features that no longer exist count as unchanged: a search does not need them.
    """
    if features is not None and features.resolve() != origin.features:
        return False
    if not run.has("best") or sha256(run.checkpoint("best")) != origin.checkpoint:
        return False
    return not origin.features.exists() or _stamp(origin.features) == (origin.size, origin.mtime)


def build_index(run: RunFolder, features: Path | None = None) -> Index:
    """Embed clips with the run's best network.

    Clips of the run's own features have the splits of its training. Of other features, extracted
    by the same networks, all clips are taken, with the splits of their file.

    Raises:
        NotFoundError: not a run, or no such features.
        SetupError: the run is unfinished, or the features have changed or do not fit.
    """
    config = run.config()
    if not run.finished:
        raise SetupError(
            f"{run.path}: its training is not finished; give the same avcmr train command again"
        )
    if config.features is None:
        raise SetupError(f"{run.config_file}: names no features")
    own = config.features.resolve()
    path = features.resolve() if features else own
    stamp = _stamp(path) if path.exists() else (0, 0)  # before they are read
    best = run.load("best")
    with open_features(path) as source:
        made = provenance_of(source)
        units = units_of(source, path, config.data.unit)
        clips = clips_of(source)
        labels, splits = source.labels.tolist(), source.splits.tolist()
        require_finite(path, source, units.ids, units.audio, units.visual)
    if path == own:
        known = _as_trained(training_data(run))
    else:
        _require_same_networks(path, made, own)
        known = dict(zip(clips, zip(labels, splits, strict=True), strict=True))
        known = {id_: known[owner] for id_, owner in zip(units.ids, units.owners, strict=True)}
    warnings = tuple(best.metadata.get("warnings", ()))
    return Index(
        _embed(trained_network(run), units, clips, known, path),
        Origin(sha256(run.checkpoint("best")), path, *stamp, made=made, warnings=warnings),
    )


def _as_trained(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Label and split of each unit of the run's data set."""
    return {
        id_: (dataset.class_names[label], split)
        for split, part in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test))
        for id_, label in zip(part.ids, part.labels.tolist(), strict=True)
    }


def _embed(
    network: TwoBranchNetwork,
    units: Units,
    clips: dict[str, Clip],
    known: dict[str, tuple[str, str]],
    path: Path,
) -> Collection:
    """The units with a known label and split, in the order of their file."""
    widths = units.audio.shape[1], units.visual.shape[1]
    if widths != (network.audio_dim, network.visual_dim):
        raise SetupError(
            f"{path}: has audio features of {widths[0]} and visual features of {widths[1]} "
            f"dimensions; the run was trained on {network.audio_dim} and {network.visual_dim}"
        )
    rows = [row for row, id_ in enumerate(units.ids) if id_ in known]
    ids = tuple(units.ids[row] for row in rows)
    owners = [clips[units.owners[row]] for row in rows]
    starts, ends = seconds_of_file(owners, units.spans[rows])
    with torch.no_grad():
        audio = network.embed_audio(torch.from_numpy(units.audio[rows]))
        visual = network.embed_visual(torch.from_numpy(units.visual[rows]))
    return Collection(
        ids=ids,
        labels=tuple(known[id_][0] for id_ in ids),
        splits=tuple(known[id_][1] for id_ in ids),
        paths=tuple(clip.path for clip in owners),
        starts=starts,
        ends=ends,
        audio=audio,
        visual=visual,
    )


def _require_same_networks(path: Path, made: Provenance | None, own: Path) -> None:
    if not own.exists():
        raise SetupError(
            f"{path}: whether the same networks made it as the run's features is unknown: "
            f"{own} is missing; restore it"
        )
    with open_features(own) as source:
        wanted = provenance_of(source)
    if made is None or wanted is None:
        raise SetupError(
            f"{path}: other features than the run's own can be searched only where both say how "
            f"they were made, and {path if made is None else own} does not; read both with "
            "avcmr features import, and the same --made-by"
        )
    differing = [
        f"{name}: {getattr(made, name)} and {getattr(wanted, name)}"
        for name in ("config", "weights")
        if getattr(made, name) != getattr(wanted, name)
    ]
    if differing:
        raise SetupError(
            f"{path}: its features were made by other networks than those of {own} "
            f"({differing[0]}); extract its clips again with the settings of the run's"
        )


def _stamp(path: Path) -> tuple[int, int]:
    """Bytes, and nanoseconds since the epoch at the last change, of a file or all of a folder."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)
