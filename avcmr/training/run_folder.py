"""A run folder: settings, metrics and weights of one training; files are replaced atomically.

``config.yaml`` (complete, resolved), ``metrics.jsonl`` (a line per epoch), ``tensorboard/``,
``checkpoints/best.safetensors`` (the network) and ``checkpoints/last.safetensors`` (network,
optimiser and curriculum, to resume from). Nothing in it is ever unpickled.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from avcmr.config import Config
from avcmr.config_files import differences, load_config
from avcmr.features.dataset import Dataset
from preprocessing.errors import NotFoundError, SetupError
from preprocessing.store.lock import FolderLock, HeldError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Named tensors, and metadata that JSON can hold."""

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``runs/NAME``."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def embeddings_file(self) -> Path:
        return self.path / "embeddings.h5"

    @property
    def index_file(self) -> Path:
        return self.path / "index.h5"

    @contextmanager
    def opened(self, config: Config, dataset: Dataset) -> Iterator[None]:
        """Create the folder, or check that it belongs to these settings and features; hold its
        lock for this process and its workers.

        Settings belong to a run as soon as it has a checkpoint.

        Raises:
            SetupError: the folder holds a run with other settings or other features, or another
                process trains it.
        """
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        self._require_own_files()
        try:
            with FolderLock(self.path):
                self._require_same(config, dataset)
                write_whole(self.config_file, config.to_yaml().encode())
                yield
        except HeldError as owner:
            raise SetupError(
                f"{self.path}: is being trained by {owner}; wait for it to end or stop it, or use "
                "another --run"
            ) from None

    def _require_same(self, config: Config, dataset: Dataset) -> None:
        remedy = "use another --run, or remove the folder"
        if not self.has("best") and not self.has("last"):
            return
        changed = differences(self.config(), config)
        if changed:
            raise SetupError(
                f"{self.path}: trained with other settings ({'; '.join(changed)}); {remedy}"
            )
        if self.has("last") and self.load("last").metadata["fingerprint"] != dataset.fingerprint:
            raise SetupError(
                f"{self.path}: trained on other features than {config.features} now holds; {remedy}"
            )

    def _require_own_files(self) -> None:
        """Refuse links out of the folder: a run of somebody else's could read and overwrite any
        file by them."""
        home = self.path.resolve()
        for folder, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]  # such as Ray's
            for file in (Path(folder, name) for name in (*folders, *files)):
                if file.is_symlink() and not file.resolve().is_relative_to(home):
                    raise SetupError(
                        f"{file}: is a link out of the run folder, to {file.readlink()}; put a "
                        "copy of the file there, or remove the link"
                    )

    def config(self) -> Config:
        """The settings it was trained with.

        Raises:
            NotFoundError: not a run folder.
            SetupError: files of it are links out of the folder.
        """
        if not self.config_file.is_file():
            raise NotFoundError(
                f"{self.path}: not a run folder (no config.yaml); "
                "train one with: avcmr train --features features.h5 --run NAME"
            )
        self._require_own_files()
        return load_config(self.config_file)

    @property
    def finished(self) -> bool:
        """Whether both stages have ended."""
        return self.has("last") and bool(self.load("last").metadata["curriculum"]["finished"])

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write ``checkpoints/NAME.safetensors`` aside, flush it and rename it."""
        target = self.checkpoint(name)
        aside = target.with_suffix(".tmp")
        metadata = {"avcmr": json.dumps(checkpoint.metadata)}
        save_file(
            {key: value.contiguous() for key, value in checkpoint.tensors.items()}, aside, metadata
        )
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)

    def has(self, name: str) -> bool:
        """Whether ``checkpoints/NAME.safetensors`` has been written."""
        return self.checkpoint(name).exists()

    def load(self, name: str) -> Checkpoint:
        """Read ``checkpoints/NAME.safetensors``.

        Raises:
            AvcmrError: there is none yet, or the file is not a checkpoint of avcmr.
        """
        path = self.checkpoint(name)
        if not path.exists():
            raise NotFoundError(f"{path}: no such checkpoint; train the run first (avcmr train)")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = json.loads(file.metadata()["avcmr"])
                return Checkpoint({key: file.get_tensor(key) for key in file.keys()}, metadata)  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise SetupError(
                f"{path}: not a checkpoint of avcmr ({error}); remove {self.path} and train again"
            ) from None

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one epoch's measurements."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def history(self, *, until: int | None = None) -> list[dict[str, Any]]:
        """The measurements of each epoch, up to and including epoch ``until``."""
        if not self.metrics_file.exists():
            return []
        records = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break  # a killed run may leave an incomplete last line
        return [record for record in records if until is None or record["epoch"] <= until]

    def rewind(self, epoch: int) -> None:
        """Drop measurements after ``epoch``, before those epochs are run again."""
        lines = [json.dumps(record) + "\n" for record in self.history(until=epoch)]
        write_whole(self.metrics_file, "".join(lines).encode())
        # TensorBoard's events are derived from the metrics and are rewritten from them.
        shutil.rmtree(self.tensorboard, ignore_errors=True)

    def checkpoint(self, name: str) -> Path:
        """``checkpoints/NAME.safetensors``, which may not have been written."""
        return self.path / "checkpoints" / f"{name}.safetensors"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it into place, so that it is never seen half-written."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_bytes(content)
    aside.replace(path)
