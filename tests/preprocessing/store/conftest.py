"""A kit to make, run and check feature stores, and a writer to kill."""

import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media.types import ClipFeatures, Source
from preprocessing.store import FeatureStore, FeatureWriter, Plan, Provenance

PROVENANCE = Provenance({"fps": 1.0, "size": (299, 299)}, {"inception": "untrained:0"}, "fake")
OTHER = Provenance({"fps": 2.0, "size": (299, 299)}, {"inception": "untrained:0"}, "fake")
NO_SOUND = ClipError("no_audio", "no sound in «clip»")

DOOMED_WRITER = Path(__file__).with_name("doomed_writer.py")
StartWriter = Callable[[str], "subprocess.Popen[str]"]


def features_of(clip: Clip) -> ClipFeatures:
    """Features that depend on the id alone, of 1–7 visual and 1–5 audio rows."""
    draw = np.random.default_rng(zlib.crc32(clip.id.encode("utf-8", "surrogateescape")))
    rows, examples = int(draw.integers(1, 8)), int(draw.integers(1, 6))
    status = clip.path.stat()
    return ClipFeatures(
        visual=draw.standard_normal((rows, 16), np.float32),
        visual_times=np.arange(rows) + 0.5,
        audio=draw.standard_normal((examples, 128), np.float32),
        audio_times=0.96 * np.arange(examples) + 0.48,
        duration=float(rows),
        source=Source(status.st_size, status.st_mtime_ns, "h264", 29.97),
    )


def make_clips(folder: Path, count: int) -> list[Clip]:
    """Clips whose files hold a few bytes; every other id is not ASCII."""
    folder.mkdir(exist_ok=True)
    clips = []
    for number in range(count):
        path = folder / f"{number:03d}.mp4"
        if not path.exists():
            path.write_bytes(b"x" * (number + 1))
        name = f"crié 漢字/{number:03d}" if number % 2 else f"dog/{number:03d}"
        clips.append(Clip(name, path, name.split("/", maxsplit=1)[0], "train"))
    return clips


def extract(
    path: Path,
    clips: Sequence[Clip],
    provenance: Provenance = PROVENANCE,
    *,
    finish: bool = True,
    retry_failed: bool = False,
    max_clips: int = 3,
) -> Plan:
    """A run: do what is to do, and return the plan."""
    with FeatureWriter(path, provenance, max_clips=max_clips) as writer:
        plan = writer.plan(clips, retry_failed=retry_failed)
        for clip in plan.todo:
            writer.add(clip, features_of(clip))
        if finish:
            writer.finish(clips)
    return plan


def check_complete(path: Path, clips: Sequence[Clip]) -> None:
    """Every clip is there once, in order, with the values it should have, and no part is left."""
    assert sorted(file.name for file in path.parent.glob(f"{path.name}*")) == [path.name]
    with FeatureStore(path) as store:
        assert [record.clip for record in store.records] == list(clips)
        for index, clip in enumerate(clips):
            check_clip(store, index, features_of(clip))


def check_clip(store: FeatureStore, index: int, expected: ClipFeatures) -> None:
    stored = store.clip(index)
    assert (stored.duration, stored.source) == (expected.duration, expected.source)
    np.testing.assert_array_equal(stored.visual, expected.visual)
    np.testing.assert_array_equal(stored.visual_times, expected.visual_times)
    np.testing.assert_array_equal(stored.audio, expected.audio)
    np.testing.assert_array_equal(stored.audio_times, expected.audio_times)
    np.testing.assert_allclose(store.visual_means[index], stored.visual.mean(0), atol=1e-6)
    np.testing.assert_allclose(store.audio_means[index], stored.audio.mean(0), atol=1e-6)


def parts_of(path: Path) -> list[Path]:
    return sorted(path.with_name("features.h5.parts").glob("part-*"))


class Steps:
    """Calls ``act`` just before the n-th of the operations that it is given."""

    def __init__(self, act: Callable[[], None], at: int) -> None:
        self.act = act
        self.left = at

    def before(self, operation: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.act()
            return operation(*args, **options)

        return counted


@pytest.fixture
def kit() -> SimpleNamespace:
    """The helpers above, for tests: their modules cannot import this one."""
    return SimpleNamespace(
        provenance=PROVENANCE,
        other=OTHER,
        no_sound=NO_SOUND,
        features_of=features_of,
        make_clips=make_clips,
        extract=extract,
        check_complete=check_complete,
        parts_of=parts_of,
        Steps=Steps,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return make_clips(tmp_path / "raw", 10)


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator[StartWriter]:
    """Starts ``doomed_writer.py`` as a process; see its ``main`` for ``how``."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(DOOMED_WRITER), str(tmp_path), how],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
