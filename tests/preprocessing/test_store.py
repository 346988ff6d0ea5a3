"""The feature store: round trips, resuming, crashes at every step, and what it refuses.

Run as a script, this file is the writer that the tests kill.
"""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import ClipFeatures, Source
from preprocessing.store import FeatureStore, FeatureWriter, Plan, Provenance
from preprocessing.store.image import Image

PROVENANCE = Provenance({"fps": 1.0, "size": (299, 299)}, {"inception": "untrained:0"}, "fake")
OTHER = Provenance({"fps": 2.0, "size": (299, 299)}, {"inception": "untrained:0"}, "fake")
NO_SOUND = ClipError("no_audio", "no sound in «clip»")


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return make_clips(tmp_path / "raw", 10)


def parts_of(path: Path) -> list[Path]:
    return sorted(path.with_name("features.h5.parts").glob("part-*"))


# Round trip


def test_round_trip(path: Path, clips: list[Clip]) -> None:
    clips[3] = replace(clips[3], start=1.5, end=4.0, split="")
    clips[4] = replace(clips[4], start=2.0)
    plan = extract(path, clips)
    assert plan.summary() == "10 clips: 0 done, 10 to do (10 new)"
    check_complete(path, clips)
    with FeatureStore(path) as store:
        assert len(store) == 10
        assert store.ids.tolist() == [clip.id for clip in clips]
        assert store.labels.tolist() == [clip.label for clip in clips]
        assert store.splits.tolist() == [clip.split for clip in clips]
        assert store.provenance == PROVENANCE
        assert store.failures == []
        assert (store.visual_means.dtype, store.visual_means.shape) == (np.float32, (10, 16))
        assert repr(store).endswith("clips=10, visual=(T, 16), audio=(S, 128))")
        with pytest.raises(IndexError, match="clip 10 of a store with 10"):
            store.clip(10)


def test_layout_is_as_documented(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    lengths = [len(features_of(clip).visual) for clip in clips]
    with h5py.File(path) as h5:
        assert (h5.attrs["format"], h5.attrs["version"]) == ("avcmr-features", 1)
        assert h5.attrs["config"] == '{"fps": 1.0, "size": [299, 299]}'
        np.testing.assert_array_equal(h5["visual/offsets"], np.cumsum([0, *lengths]))
        assert h5["visual/values"].shape == (sum(lengths), 16)
        assert h5["visual/times"].shape == (sum(lengths),)
        assert h5["clips/source_mtime"][2] == clips[2].path.stat().st_mtime_ns
        assert h5["clips/codec"].asstr()[0] == "h264"


def test_file_name_that_is_not_utf8(path: Path, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        file.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    clips = [Clip(file.stem, file, "café")]
    extract(path, clips)
    check_complete(path, clips)


def test_failures_are_kept_beside_the_clips(path: Path, clips: list[Clip]) -> None:
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.fail(clips[0], ClipError("corrupt", "odd\0bytes"), attempts=2)
        for clip in clips[1:]:
            writer.add(clip, features_of(clip))
        writer.finish(clips)
    with FeatureStore(path) as store:
        (failure,) = store.failures
    assert failure.clip == clips[0]
    assert (failure.reason, failure.message, failure.attempts) == ("corrupt", "odd\ufffdbytes", 2)
    assert failure.source.size == clips[0].path.stat().st_size
    check_complete(path, clips[1:])


def test_the_later_record_of_a_clip_counts(path: Path, clips: list[Clip]) -> None:
    with FeatureWriter(path, PROVENANCE, max_clips=1) as writer:
        writer.add(clips[0], features_of(clips[0]))
        writer.fail(clips[0], NO_SOUND, attempts=1)
        writer.fail(clips[1], NO_SOUND, attempts=1)
        writer.add(clips[1], features_of(clips[1]))
        writer.finish(clips)
    check_complete(path, clips[1:2])
    with FeatureStore(path) as store:
        assert [failure.clip for failure in store.failures] == clips[:1]


@pytest.mark.parametrize(
    "limit", [{"max_clips": 2}, {"max_bytes": 1}, {"max_seconds": 0.0}], ids=str
)
def test_clips_are_saved_as_they_come(
    path: Path, clips: list[Clip], limit: dict[str, float]
) -> None:
    with FeatureWriter(path, PROVENANCE, **limit) as writer:  # type: ignore[arg-type]
        for clip in clips[:4]:
            writer.add(clip, features_of(clip))
        assert len(parts_of(path)) == 4 // int(limit.get("max_clips", 1))


def test_rows_of_another_width_are_refused(path: Path, clips: list[Clip]) -> None:
    narrow = replace(
        features_of(clips[0]), audio=np.ones((1, 64), np.float32), audio_times=np.ones(1)
    )
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.add(clips[1], features_of(clips[1]))
        with pytest.raises(ValueError, match=r"dog/000: rows of width \(16, 64\), not \(16, 128\)"):
            writer.add(clips[0], narrow)
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.add(clips[0], narrow)
        with pytest.raises(ValueError, match="/audio rows of one store must have one width"):
            writer.finish(clips)


@pytest.mark.parametrize("config", [{"x": float("nan")}, {"x": object()}], ids=["nan", "object"])
def test_config_must_be_json(config: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Provenance(config, {}, "fake")


# Plans


def test_interrupted_run_is_resumed(path: Path, clips: list[Clip]) -> None:
    extract(path, clips[:4])
    with (
        pytest.raises(KeyboardInterrupt),
        FeatureWriter(path, PROVENANCE, max_clips=3) as writer,
    ):
        for clip in clips[4:8]:
            writer.add(clip, features_of(clip))
        raise KeyboardInterrupt
    plan = extract(path, clips)
    assert plan.summary() == "10 clips: 8 done, 2 to do (2 new)"
    assert plan.todo == tuple(clips[8:])
    check_complete(path, clips)


def test_changed_clips_are_done_again(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    os.utime(clips[2].path, ns=(0, 1))
    clips[5].path.write_bytes(b"longer than it was before")
    clips[7] = replace(clips[7], end=2.5)
    plan = extract(path, clips)
    assert plan.todo == (clips[2], clips[5], clips[7])
    assert plan.summary() == (
        "10 clips: 7 done, 3 to do (2 changed on disk, 1 with another start or end)"
    )
    check_complete(path, clips)


def test_other_provenance_makes_everything_stale(path: Path, clips: list[Clip]) -> None:
    extract(path, clips[:6])
    extract(path, clips[6:8], OTHER, finish=False)
    plan = extract(path, clips, OTHER)
    assert plan.summary() == (
        "10 clips: 2 done, 8 to do (2 new, 6 made with another config, weights or decoder)"
    )
    check_complete(path, clips)
    with FeatureStore(path) as store:
        assert store.provenance == OTHER


def test_parts_of_another_provenance_do_not_count(path: Path, clips: list[Clip]) -> None:
    extract(path, clips[:6])
    extract(path, clips, OTHER, finish=False)
    assert extract(path, clips).done == 6
    check_complete(path, clips)


def test_failed_clips_wait_for_a_reason(path: Path, clips: list[Clip]) -> None:
    with FeatureWriter(path, PROVENANCE) as writer:
        for clip in clips[:3]:
            writer.fail(clip, NO_SOUND, attempts=1)
        writer.finish(clips)
        plan = writer.plan(clips[:3])
        assert plan.summary() == "3 clips: 0 done, 0 to do, 3 failed before"
        assert [failure.clip for failure in plan.failed_before] == clips[:3]
        os.utime(clips[1].path, ns=(0, 1))
        assert writer.plan(clips[:3]).todo == (clips[1],)
        retrying = writer.plan(clips[:3], retry_failed=True)
        assert retrying.summary() == "3 clips: 0 done, 3 to do (1 changed on disk, 2 failed before)"
    with FeatureWriter(path, OTHER) as writer:
        assert writer.plan(clips[:3]).todo == tuple(clips[:3])
    extract(path, clips[:3], retry_failed=True)
    check_complete(path, clips[:3])


def test_missing_file_is_tried_again_once_it_is_there(path: Path, clips: list[Clip]) -> None:
    clips[0].path.unlink()
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.plan(clips[:1])
        clips[0].path.write_bytes(b"copied while the run was on")
        writer.fail(clips[0], ClipError("missing", "no such file"), attempts=1)
        assert writer.plan(clips[:1]).todo == tuple(clips[:1])


def test_features_outlive_their_file(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    clips[0].path.unlink()
    plan = extract(path, clips)
    assert plan.summary() == "10 clips: 10 done (1 without their file now), 0 to do"


def test_two_clips_of_one_id_are_refused(path: Path, clips: list[Clip]) -> None:
    with (
        FeatureWriter(path, PROVENANCE) as writer,
        pytest.raises(SetupError, match="the id 'dog/000'"),
    ):
        writer.plan([clips[0], clips[0]])


def test_plan_of_many_clips(path: Path, tmp_path: Path) -> None:
    clips = [Clip(f"c/{number}", tmp_path / "none.mp4", "c") for number in range(20_000)]
    with FeatureWriter(path, PROVENANCE, max_clips=10_000) as writer:
        for clip in clips:
            writer.fail(clip, ClipError("missing", "no such file"), attempts=1)
        plan = writer.plan(clips)
    assert plan.summary() == "20,000 clips: 0 done, 0 to do, 20,000 failed before"


# Finishing


def test_manifest_gives_labels_splits_and_order(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    changed = [replace(clip, label="cat", split="test") for clip in reversed(clips[4:])]
    plan = extract(path, changed)
    assert plan.todo == ()
    check_complete(path, [*changed, *clips[:4]])  # those not listed follow as they were


def test_clips_not_listed_are_dropped_with_their_provenance(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    extract(path, clips[:3], OTHER)
    check_complete(path, clips[:3])


def test_nothing_to_do_writes_nothing(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    before = path.read_bytes(), path.stat()
    extract(path, clips)
    assert (path.read_bytes(), path.stat()) == before


def test_finish_without_work_leaves_another_store_alone(path: Path, clips: list[Clip]) -> None:
    extract(path, clips)
    before = path.read_bytes()
    with FeatureWriter(path, OTHER) as writer:
        writer.finish(clips)
    assert path.read_bytes() == before


def test_merge_reads_in_blocks(
    path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocessing.store.merge.BLOCK_BYTES", 4000)  # one or two clips
    extract(path, clips, max_clips=100)
    check_complete(path, clips)
    extract(path, clips[::-1])
    check_complete(path, clips[::-1])


def test_store_that_is_linked_to(path: Path, clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "features.h5"
    path.symlink_to(target)
    extract(path, clips)
    assert path.is_symlink()
    check_complete(target, clips)


# Crashes


class CrashError(Exception):
    """Stands for any error that nobody expects."""


OPERATIONS = ("pwrite", "ftruncate", "fsync", "replace", "unlink")
"""Everything by which the store changes the disk, in ``os``."""


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


def crash() -> None:
    raise CrashError


def test_crash_at_each_step(path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    extract(path, clips[:4])
    store = path.read_bytes()
    crashes = 0
    while True:
        path.write_bytes(store)
        steps = Steps(crash, at=crashes + 1)
        with monkeypatch.context() as patch:
            for name in OPERATIONS:
                patch.setattr(os, name, steps.before(getattr(os, name)))
            try:
                extract(path, clips)
            except CrashError:
                crashes += 1
        extract(path, clips)
        check_complete(path, clips)
        if steps.left > 0:  # the run ended before the step came
            break
    assert crashes > 30  # two parts and a merge


@pytest.mark.parametrize("step", [1, 7, 60, 150, 250])
def test_interrupt_while_hdf5_writes(
    path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It has to wait: HDF5 goes astray if an exception reaches it from the file it writes."""
    steps = Steps(lambda: signal.raise_signal(signal.SIGINT), at=step)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "write", steps.before(Image.write))
        with pytest.raises(KeyboardInterrupt):
            extract(path, clips)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    extract(path, clips)
    check_complete(path, clips)


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start_writer(tmp_path: Path) -> Iterator[Start]:
    """Starts this file as a process, see ``main``."""
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), how],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_killed_while_it_writes_parts(path: Path, tmp_path: Path, start_writer: Start) -> None:
    clips = make_clips(tmp_path / "raw", 24)
    draw = random.Random(0)
    for _ in range(4):
        assert start_writer(f"{draw.randrange(1, 25)}").wait(60) == -signal.SIGKILL
    with pytest.raises(SetupError, match=r"is unfinished: .* run the same extract command again"):
        FeatureStore(path)
    assert 0 < extract(path, clips).done < 24
    check_complete(path, clips)


@pytest.mark.parametrize("write", [1, 5, 20])
def test_killed_while_it_merges(
    path: Path, tmp_path: Path, start_writer: Start, write: int
) -> None:
    clips = make_clips(tmp_path / "raw", 24)
    extract(path, clips, finish=False)
    assert start_writer(f"{write}").wait(60) == -signal.SIGKILL
    assert not path.exists()
    assert extract(path, clips).todo == ()
    check_complete(path, clips)


def test_second_writer_is_refused(path: Path, clips: list[Clip], start_writer: Start) -> None:
    first = start_writer("never")
    assert first.stdout is not None
    assert first.stdout.readline() == "writing\n"
    with pytest.raises(SetupError, match=rf"is being written by process {first.pid} on "):
        extract(path, clips)
    first.kill()
    first.wait()
    extract(path, clips)
    check_complete(path, clips)


# What is refused, and how it is said


@pytest.mark.parametrize("room", [0, 3_000, 9_000, 12_000])
def test_full_disk(path: Path, clips: list[Clip], room: int) -> None:
    """A limit on the size of files stands in for a full disk: writes fail in the same way."""
    extract(path, clips[:4])
    store = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(
            SetupError, match=r"no room left to write .*features.*; free some space"
        ):
            extract(path, clips)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == store
    extract(path, clips)
    check_complete(path, clips)


@pytest.mark.parametrize("operation", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "no room left to write .*features.h5.*; free some space"),
        (errno.EACCES, "not allowed to write .*features.h5.*; change its permissions"),
        (errno.EIO, r"cannot write .*features.h5.* \(.*error\); check the disk"),
    ],
    ids=["ENOSPC", "EACCES", "EIO"],
)
def test_disk_errors(
    path: Path,
    clips: list[Clip],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: int,
    remedy: str,
) -> None:
    def broken(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    extract(path, clips, finish=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, broken)
        with pytest.raises(SetupError, match=remedy):
            extract(path, clips)
    assert not path.exists()
    extract(path, clips)
    check_complete(path, clips)


def test_clips_that_cannot_be_rescued_are_counted(
    path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CrashError), FeatureWriter(path, PROVENANCE) as writer:
        writer.add(clips[0], features_of(clips[0]))
        monkeypatch.setattr(os, "fsync", full)
        raise CrashError
    assert "1 finished clips could not be saved: no room left" in caplog.text


def test_broken_part_is_set_aside(
    path: Path, clips: list[Clip], caplog: pytest.LogCaptureFixture
) -> None:
    extract(path, clips[:6], finish=False)
    part = parts_of(path)[0]
    part.write_bytes(part.read_bytes()[:-100])
    plan = extract(path, clips[:6])
    assert plan.todo == tuple(clips[:3])
    assert "set aside, its clips will be done again" in caplog.text
    check_complete(path, clips[:6])


def write_text(path: Path) -> None:
    path.write_text("not HDF5")


def write_foreign(path: Path) -> None:
    with h5py.File(path, "w") as h5:
        h5["x"] = np.arange(3)


def write_newer(path: Path) -> None:
    with h5py.File(path, "w") as h5:
        h5.attrs.update(format="avcmr-features", version=2)


def write_truncated(path: Path) -> None:
    extract(path, make_clips(path.parent / "raw", 3))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (write_text, "not an HDF5 file"),
        (write_foreign, "HDF5, but without the mark"),
        (write_newer, "of version 2; this program knows 1"),
        (write_truncated, "damaged: .*truncated"),
    ],
)
def test_other_files_are_refused_and_left_alone(
    path: Path, clips: list[Clip], make: Callable[[Path], None], why: str
) -> None:
    make(path)
    before = path.read_bytes()
    message = rf"features.h5 is not an avcmr feature store \({why}.*; choose another --out or move"
    with pytest.raises(SetupError, match=message):
        extract(path, clips)
    with pytest.raises(SetupError, match=message):
        FeatureStore(path)
    assert path.read_bytes() == before
    assert not path.with_name("features.h5.parts").exists()


def test_stores_that_cannot_be_read_yet(path: Path, clips: list[Clip]) -> None:
    with pytest.raises(SetupError, match=r"no feature store at .*; make one with the extract"):
        FeatureStore(path)
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.add(clips[0], features_of(clips[0]))
    with pytest.raises(SetupError, match=r"is unfinished: 1 finished clips wait in .*parts; run"):
        FeatureStore(path)


def test_store_that_must_not_be_read(
    path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    extract(path, clips, finish=False)
    with monkeypatch.context() as patch:
        patch.setattr(h5py, "File", refuse)
        with pytest.raises(SetupError, match=r"cannot read .*part-000001.h5: Permission denied"):
            extract(path, clips)
    assert extract(path, clips).todo == ()  # nothing was set aside


def test_store_without_clips(path: Path, clips: list[Clip]) -> None:
    with FeatureWriter(path, PROVENANCE) as writer:
        writer.fail(clips[0], NO_SOUND, attempts=1)
        writer.finish(clips)
    with pytest.raises(SetupError, match=r"holds no clips: all 1 failed, .* as no_audio: no sound"):
        FeatureStore(path)


def main(folder: Path, fatal: str) -> None:
    """Extract the 24 clips of ``folder``; amid write number ``fatal`` die by SIGKILL.

    If that is ``never``, say so and wait instead.
    """
    with FeatureWriter(folder / "features.h5", PROVENANCE, max_clips=3) as writer:
        if fatal == "never":
            print("writing", flush=True)
            time.sleep(600)
        steps = Steps(lambda: os.kill(os.getpid(), signal.SIGKILL), at=2 * int(fatal))
        write = steps.before(os.pwrite)

        def write_halves(descriptor: int, data: memoryview, offset: int) -> int:
            half = len(data) // 2
            write(descriptor, data[:half], offset)
            write(descriptor, data[half:], offset + half)
            return len(data)

        os.pwrite = write_halves  # type: ignore[assignment]
        clips = make_clips(folder / "raw", 24)
        for clip in writer.plan(clips).todo:
            writer.add(clip, features_of(clip))
        writer.finish(clips)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
