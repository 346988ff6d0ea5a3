"""A small collection with real clips, and networks so simple that right answers are known."""

import socket
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from avcmr import Retriever
from avcmr.cli.serve import LOOPBACK
from avcmr.evaluation.examples import examples
from avcmr.evaluation.report.page import Report, render
from avcmr.evaluation.results import Results
from avcmr.metrics.metrics import evaluate
from avcmr.retrieval.collection import Collection
from avcmr.web import create_app
from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Kind, Sampling, decode_frames, decode_image, decode_waveform
from preprocessing.media.encode import write_clip
from preprocessing.media.outcome import try_file

RATE = 16_000
CLASSES = {"low": (200, 300), "middle": (60, 900), "high": (20, 2700)}
"""Name → red of the picture, and hertz of the sound."""

PER_CLASS = 4


def tone(hertz: float, seconds: float = 2.0) -> NDArray[np.float32]:
    time_ = np.arange(round(seconds * RATE)) / RATE
    envelope = np.minimum(1, 4 * (time_ % 0.5))
    return (0.4 * envelope * np.sin(2 * np.pi * hertz * time_)).astype(np.float32)


def film(path: Path, kind: str, seed: int = 0, seconds: int = 2) -> Path:
    """Grey noise that is more or less red, and a tone."""
    red, hertz = CLASSES[kind]
    draw = np.random.default_rng(seed)
    frames = [
        np.clip(np.array([red, 90, 90]) + draw.normal(0, 25, (48, 64, 3)), 0, 255).astype(np.uint8)
        for _ in range(10 * seconds)
    ]
    write_clip(path, frames, 10, tone(hertz, seconds)[None], RATE)
    return path


class FakeExtractor:
    """Stands in for the networks: how loud each class's tone is, and how red the picture."""

    def load(self) -> None:
        pass

    def features(self, kind: Kind, path: Path) -> NDArray[np.float32]:
        clip = Clip("q", path, "")
        if kind == "image":
            return _red(_checked(path, lambda: decode_image(path)))
        if kind == "video":
            return _red(_checked(path, lambda: decode_frames(clip, Sampling())))
        waveform = _checked(path, lambda: decode_waveform(clip, Sampling()))
        spectrum = np.abs(np.fft.rfft(waveform))
        at = [round(hertz * len(waveform) / RATE) for _, hertz in CLASSES.values()]
        bands = np.array([spectrum[centre - 9 : centre + 9].sum() for centre in at])
        return (bands / bands.sum()).astype(np.float32)

    def stacked(self, kind: Kind, paths: Sequence[Path]) -> torch.Tensor:
        return torch.from_numpy(np.stack([self.features(kind, path) for path in paths]))


class FakeNetwork:
    """Stands in for the trained network."""

    def embed_audio(self, features: torch.Tensor) -> torch.Tensor:
        return normalize(features, dim=1)

    embed_visual = embed_audio


def _checked(path: Path, decode: Any) -> NDArray[Any]:
    outcome = try_file(path, decode)
    if isinstance(outcome, ClipError):
        raise outcome
    return cast(NDArray[Any], outcome)


def _red(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    reds = np.array([red for red, _ in CLASSES.values()])
    near = np.exp(-np.abs(frames[..., 0].mean() - reds) / 20)
    return (near / near.sum()).astype(np.float32)


@dataclass(frozen=True)
class Served:
    """A collection and files to search it with."""

    retriever: Retriever
    folder: Path
    report: Path
    sound: Path
    image: Path
    clip: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("served")
    kinds = [kind for kind in CLASSES for _ in range(PER_CLASS)]
    ids = [f"{kind}/{kind}_{number:02d}" for number, kind in enumerate(kinds)]
    paths = [
        film(folder / f"{number:02d}.mp4", kind, seed=number) for number, kind in enumerate(kinds)
    ]
    extractor, network = FakeExtractor(), FakeNetwork()
    starts, ends = np.full(len(ids), np.nan), np.full(len(ids), np.nan)
    starts[1], ends[1] = 0.5, 1.5  # a cut of its file
    collection = Collection(
        ids=tuple(ids),
        labels=tuple(kinds),
        splits=tuple("test" if number % 2 else "train" for number in range(len(ids))),
        paths=tuple(paths),
        starts=starts,
        ends=ends,
        audio=network.embed_audio(extractor.stacked("audio", paths)),
        visual=network.embed_visual(extractor.stacked("video", paths)),
    )
    report = folder / "index.html"
    _report(collection).write(report)
    image = folder / "red.png"
    Image.new("RGB", (64, 48), (200, 90, 90)).save(image)
    return Served(
        retriever=Retriever(collection, cast(Any, network), cast(Any, extractor), ("made up",)),
        folder=folder,
        report=report,
        sound=wav(folder / "high.wav", tone(CLASSES["high"][1])),
        image=image,
        clip=film(folder / "query.mp4", "middle", seed=99),
    )


def _report(collection: Collection) -> Report:
    """The real one, with pictures and sounds of the collection."""
    labels = torch.tensor([list(CLASSES).index(label) for label in collection.labels])
    results = Results(
        "made",
        evaluate(collection.audio, collection.visual, labels, list(CLASSES)),
        clips=tuple(map(collection.clip, range(len(collection)))),
        audio_to_visual=examples(collection.audio, collection.visual, labels),
        visual_to_audio=examples(collection.visual, collection.audio, labels),
    )
    return render([results], title="Made-up results")


def wav(path: Path, waveform: NDArray[np.float32]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((waveform * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="session")
def address(served: Served) -> Iterator[str]:
    """A real server's, in a thread."""
    app = create_app(served.retriever, name="made", report=served.report, hosts=LOOPBACK)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
