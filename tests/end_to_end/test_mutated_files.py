"""Two hundred mutated files in one folder with good ones: each gets a true reason or features."""

import random
import re
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.media.encode import write_clip
from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import EXTRACT, values
from tests.patience import PATIENCE

CONTAINERS = {  # suffix → video and audio codec
    "mp4": (None, "aac"),
    "mkv": (None, "aac"),
    "ts": (None, "aac"),
    "avi": ("mpeg4", "mp2"),
    "webm": ("libvpx", "libopus"),
}
Originals = dict[str, bytes]
Mutation = Callable[[random.Random, Originals, str], bytes]

DAMAGED = frozenset({"not_media", "corrupt", "too_short", "no_video", "no_audio"})
"""What can be said of a file of which part is lost or wrong."""

STORED = frozenset({"stored"})
"""Some damage does not keep a player from playing."""


def truncated(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    whole = originals[suffix]
    return whole[: draw.randrange(1, len(whole))]


def flipped(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    mutated = bytearray(originals[suffix])
    for _ in range(draw.choice([1, 10, 100, 1000])):
        mutated[draw.randrange(len(mutated))] = draw.randrange(256)
    return bytes(mutated)


def spliced(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """The head of one container on the body of another."""
    other = draw.choice([name for name in originals if name != suffix])
    seam = draw.choice([16, 100, 1000, 5000])
    return originals[other][:seam] + originals[suffix][seam:]


def empty(_: random.Random, __: Originals, ___: str) -> bytes:
    return b""


def text(draw: random.Random, _: Originals, __: str) -> bytes:
    words = ["<html>", "404", "Not Found", "ffconcat version 1.0", "#EXTM3U", "file /etc/passwd"]
    return "\n".join(draw.choices(words, k=draw.randrange(1, 50))).encode()


def huge(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Wherever the header tells width and height, other ones."""
    side = draw.choice([16_000, 32_000, 65_534])
    whole = originals[suffix]
    for pattern, width, height in ((">HH", 64, 48), ("<II", 64, 48), (">II", 64 << 16, 48 << 16)):
        scaled = (side << 16 if width > 64 else side,) * 2
        whole = whole.replace(struct.pack(pattern, width, height), struct.pack(pattern, *scaled))
    # Matroska: PixelWidth is B0, PixelHeight BA, in a byte each; they get two.
    return whole.replace(b"\xb0\x81\x40\xba\x81\x30", b"\xb0\x82\x7f\xff\xba\x80")


def endless(draw: random.Random, originals: Originals, _: str) -> bytes:
    """An MP4 whose headers promise weeks; and of every other, each sample is to last for days."""
    whole = bytearray(originals["mp4"])
    boxes = [("mvhd", 20), ("mdhd", 20), ("tkhd", 24), *[("stts", 16)] * draw.randrange(2)]
    for box, offset in boxes:
        at = whole.find(box.encode())
        while at >= 0:
            struct.pack_into(">I", whole, at + offset, 0x7FFFFFFF - draw.randrange(1000))
            at = whole.find(box.encode(), at + 1)
    return bytes(whole)


def without_sound(_: random.Random, originals: Originals, suffix: str) -> bytes:
    return originals[f"without sound.{suffix}"]


def without_picture(_: random.Random, originals: Originals, suffix: str) -> bytes:
    return originals[f"without picture.{suffix}"]


def locked(draw: random.Random, originals: Originals, _: str) -> bytes:
    """An MP4 as DRM leaves it: the boxes can be read, and what they hold is noise."""
    whole = originals["mp4"]
    start = whole.find(b"mdat") + 4
    size = struct.unpack(">I", whole[start - 8 : start - 4])[0] - 8
    scrambled = whole[:start] + draw.randbytes(size) + whole[start + size :]
    if draw.random() < 0.5:
        scrambled = scrambled.replace(b"avc1", b"encv").replace(b"mp4a", b"enca")
    return scrambled


MUTATIONS: dict[str, tuple[Mutation, int, frozenset[str]]] = {
    "truncated": (truncated, 40, DAMAGED | STORED),
    "flipped": (flipped, 50, DAMAGED | STORED | {"out_of_memory"}),
    "spliced": (spliced, 30, DAMAGED | STORED),
    "empty": (empty, 10, frozenset({"empty"})),
    "text": (text, 10, frozenset({"not_media"})),
    "huge": (huge, 20, frozenset({"corrupt", "not_media", "out_of_memory"}) | STORED),
    "endless": (endless, 10, frozenset({"out_of_memory", "corrupt", "too_short"}) | STORED),
    "without_sound": (without_sound, 10, frozenset({"no_audio"})),
    "without_picture": (without_picture, 10, frozenset({"no_video"})),
    "locked": (locked, 10, DAMAGED),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    """Small good files: of each container one, one without sound and one without picture."""
    folder = tmp_path_factory.mktemp("originals")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    frames = [np.roll(picture, shift, axis=1) for shift in range(30)]
    sound = rng.normal(0, 0.1, (1, 3 * 48_000)).astype(np.float32)
    found = {}
    for suffix, (video, audio) in CONTAINERS.items():
        for name, pictures, waveform in (
            (suffix, frames, sound),
            (f"without sound.{suffix}", frames, None),
            (f"without picture.{suffix}", None, sound),
        ):
            path = folder / (name if "." in name else f"whole.{name}")
            codecs = {"video_codec": video, "audio_codec": audio}
            write_clip(path, pictures, 10, waveform, 48_000, **codecs)
            found[name] = path.read_bytes()
    return found


def write_mutated(folder: Path, originals: Originals) -> dict[str, frozenset[str]]:
    """The files; and for each id what may become of it."""
    allowed, suffixes = {}, list(CONTAINERS)
    folder.mkdir()
    for name, (mutate, count, fates) in MUTATIONS.items():
        for number in range(count):
            suffix = suffixes[number % len(suffixes)]
            draw = random.Random(f"{name} {number}")  # seeded by name: alike everywhere
            (folder / f"{name}_{number}.{suffix}").write_bytes(mutate(draw, originals, suffix))
            allowed[f"mutated/{name}_{number}"] = fates
    return allowed


def memory(pids: list[int]) -> dict[int, int]:
    """Bytes of each process, without what it shares."""
    found = {}
    for pid in pids:
        try:
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
            found[pid] = (int(resident) - int(shared)) * 4096
        except OSError:
            continue  # it ended while we looked
    return found


def test_mutated_files_among_good_ones(start, good_clips, undisturbed, originals, tmp_path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for folder in good_clips.iterdir():
        (videos / folder.name).symlink_to(folder)
    expected = dict(undisturbed)
    (videos / "copies").mkdir()
    for number, (clip_id, features) in enumerate([*undisturbed.items()][:8]):
        shutil.copy(good_clips / f"{clip_id}.mp4", videos / "copies" / f"{number}.mp4")
        expected[f"copies/{number}"] = features
    assert len(expected) == 20
    allowed = write_mutated(videos / "mutated", originals)
    assert len(allowed) == 200
    options = ["--follow-links", "--clip-timeout", "20"]
    run = start([*EXTRACT, "out.h5", "--videos", videos, *options])
    samples: list[dict[int, int]] = []
    deadline = time.monotonic() + PATIENCE
    while run.process.poll() is None:
        assert time.monotonic() < deadline, run.narration
        if "extract " in run.narration:
            samples.append(memory(list(run.processes())))
        time.sleep(0.5)
    run.ends(1)

    with FeatureStore(tmp_path / "out.h5") as store:
        found = values(store)
        failures = {failure.clip.id: failure for failure in store.failures}
    assert found.keys() | failures.keys() == expected.keys() | allowed.keys()
    assert expected.keys() <= found.keys()
    assert not found.keys() & failures.keys()
    fates = {
        clip_id: failures[clip_id].reason if clip_id in failures else "stored"
        for clip_id in allowed
    }
    false = {
        clip_id: (fate, failures[clip_id].message if clip_id in failures else "")
        for clip_id, fate in fates.items()
        if fate not in allowed[clip_id]
    }
    assert not false
    for failure in failures.values():
        assert failure.message.startswith(f"{failure.clip.path}: ")
        assert "\n" not in failure.message
        assert not re.search(r"\b[A-Z]\w+Error\b", failure.message)  # said in our own words
    for clip_id, features in expected.items():
        for one, other in zip(found[clip_id], features, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)
    middle = len(samples) // 2
    later = {pid: max(sample.get(pid, 0) for sample in samples[middle:]) for pid in samples[middle]}
    grown = {pid: most - samples[middle][pid] for pid, most in later.items()}
    assert run.process.pid in grown
    assert max(grown.values()) < 1 << 30, grown  # what a batch takes comes and goes
