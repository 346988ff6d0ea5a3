"""Embeddings of a run's test clips, in memory and as a file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
from torch import Tensor

from avcmr.features.dataset import open_features
from avcmr.features.provenance import clips_of_units, provenance_of
from avcmr.features.units import units_of
from avcmr.model.inference import embed
from avcmr.training.run_folder import RunFolder
from avcmr.training.trained import trained_network, training_data
from preprocessing.clips import Clip
from preprocessing.hdf5 import text_array
from preprocessing.store import Provenance


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of N clips.

    Attributes:
        ids: N clip ids.
        audio: (N, D) float32, rows of unit length.
        visual: (N, D) float32, rows of unit length.
        labels: (N,) int64, index into ``class_names``.
        class_names: name of each label.
        clips: where each of the N clips is: its file, start and end.
        fingerprint: of the data set, all splits.
        made: how the features were made; None if their file does not say.
        checkpoint: stage, epoch and validation MAP of the network.
        warnings: to be shown with any result.
    """

    ids: tuple[str, ...]
    audio: Tensor
    visual: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    clips: tuple[Clip, ...]
    fingerprint: str
    made: Provenance | None
    checkpoint: dict[str, Any]
    warnings: tuple[str, ...]


def embed_test_split(run: RunFolder) -> Embedded:
    """Embed the test clips with the run's best weights.

    Raises:
        AvcmrError: not a trained run, or its features are gone or have changed.
    """
    config, dataset = run.config(), training_data(run)
    assert config.features is not None
    test, reached = dataset.test, run.load("best").metadata
    with open_features(config.features) as source:
        made = provenance_of(source)
        clip_of = clips_of_units(source, units_of(source, config.features, config.data.unit))
    audio, visual = embed(trained_network(run), test)
    return Embedded(
        ids=test.ids,
        audio=audio,
        visual=visual,
        labels=test.labels,
        class_names=dataset.class_names,
        clips=tuple(
            replace(clip_of[id_], label=dataset.class_names[label])
            for id_, label in zip(test.ids, test.labels.tolist(), strict=True)
        ),
        fingerprint=dataset.fingerprint,
        made=made,
        checkpoint={key: reached[key] for key in ("stage", "epoch", "val_map")},
        warnings=dataset.warnings,
    )


def write_embeddings(path: Path, embedded: Embedded) -> None:
    """Write ``id, label, audio, visual`` of each clip as HDF5; the file appears as a whole."""
    aside = path.with_suffix(".tmp")
    with h5py.File(aside, "w") as file:
        file.attrs["format"] = "avcmr-embeddings"
        file["id"] = text_array(embedded.ids)
        names = [embedded.class_names[label] for label in embedded.labels.tolist()]
        file["label"] = text_array(names)
        file["audio"] = embedded.audio.numpy()
        file["visual"] = embedded.visual.numpy()
    aside.replace(path)
