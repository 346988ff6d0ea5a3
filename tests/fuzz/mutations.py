"""Small good files and what can be wrong with them, drawn by seed."""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from preprocessing.media.encode import write_clip

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


def write_originals(folder: Path) -> Originals:
    """Of each container a good file, one without sound and one without picture."""
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
    """Write the mutated files; what may become of each, by its name without suffix."""
    allowed, suffixes = {}, list(CONTAINERS)
    for name, (mutate, count, fates) in MUTATIONS.items():
        for number in range(count):
            suffix = suffixes[number % len(suffixes)]
            draw = random.Random(f"{name} {number}")  # seeded by name: alike everywhere
            mutated = mutate(draw, originals, suffix)
            (folder / f"{name}_{number}.{suffix}").write_bytes(mutated)
            allowed[f"{name}_{number}"] = fates
    return allowed


def _truncated(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    whole = originals[suffix]
    return whole[: draw.randrange(1, len(whole))]


def _flipped(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    mutated = bytearray(originals[suffix])
    for _ in range(draw.choice([1, 10, 100, 1000])):
        mutated[draw.randrange(len(mutated))] = draw.randrange(256)
    return bytes(mutated)


def _spliced(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """The head of one container on the body of another."""
    other = draw.choice([name for name in originals if name != suffix])
    seam = draw.choice([16, 100, 1000, 5000])
    return originals[other][:seam] + originals[suffix][seam:]


def _zeroed(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Holes, as an interrupted copy or a bad sector leaves them."""
    mutated = bytearray(originals[suffix])
    for _ in range(draw.choice([1, 3, 10])):
        length = draw.choice([16, 188, 512, 4096])
        start = draw.randrange(len(mutated))
        hole = mutated[start : start + length]
        mutated[start : start + length] = bytes(len(hole))
    return bytes(mutated)


def _pictures(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Wherever the header tells width and height, other ones."""
    side = draw.choice([16_000, 32_000, 65_534])
    whole = originals[suffix]
    for pattern, width, height in ((">HH", 64, 48), ("<II", 64, 48), (">II", 64 << 16, 48 << 16)):
        scaled = (side << 16 if width > 64 else side,) * 2
        whole = whole.replace(struct.pack(pattern, width, height), struct.pack(pattern, *scaled))
    # Matroska: PixelWidth is B0, PixelHeight BA, in a byte each; they get two.
    return whole.replace(b"\xb0\x81\x40\xba\x81\x30", b"\xb0\x82\x7f\xff\xba\x80")


def _sizes(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Boxes, chunks, elements and packets that say they are of some other size."""
    mutated = bytearray(originals[suffix])
    size = draw.choice([0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFE])
    if suffix == "mp4":
        box = draw.choice([b"moov", b"trak", b"stbl", b"stsd", b"mdat"])
        _set(mutated, box, -4, struct.pack(">I", size))
        table = draw.choice([b"stsz", b"stsc", b"stco", b"stts"])
        _set(mutated, table, 12 if table == b"stsz" else 8, struct.pack(">I", size))
    elif suffix == "avi":
        chunk = draw.choice([b"LIST", b"strf", b"avih", b"idx1", b"01wb"])
        _set(mutated, chunk, 4, struct.pack("<I", size))
    elif suffix == "ts":
        for start in draw.sample(range(0, len(mutated), 188), len(mutated) // 188 // 8):
            mutated[start + 3] |= 0x20  # an adaptation field,
            mutated[start + 4] = draw.choice([0, 183, 255])  # so long
    else:
        element = draw.choice([b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\x18\x53\x80\x67"])
        _set(mutated, element, 4, b"\x08" + struct.pack(">I", size)[1:])
    return bytes(mutated)


def _rates(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Sound and pictures that say they go at some other rate."""
    mutated = bytearray(originals[suffix])
    rate = draw.choice([0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF])
    if suffix == "mp4":
        _set(mutated, b"mp4a", 28, struct.pack(">I", rate))
        _set(mutated, b"stts", 16, struct.pack(">I", rate))
    elif suffix == "avi":
        _set(mutated, b"strh", 32, struct.pack("<I", rate))
        _set(mutated, b"strf", 12, struct.pack("<I", rate))
    elif suffix == "ts":
        for start in _places(mutated, b"\xff\xf1"):  # of each ADTS frame
            mutated[start + 2] = mutated[start + 2] & ~0x3C | draw.randrange(16) << 2
    else:
        hertz = draw.choice([0.0, 1e-300, 1e300, float("nan"), float("inf"), -48_000.0])
        _set(mutated, b"\xb5\x88", 2, struct.pack(">d", hertz))  # SamplingFrequency
        _set(mutated, b"\x23\xe3\x83", 4, struct.pack(">I", rate))  # DefaultDuration
    return bytes(mutated)


def _time_bases(draw: random.Random, originals: Originals, suffix: str) -> bytes:
    """Clocks that say they tick at some other rate, for weeks, or jump."""
    mutated = bytearray(originals[suffix])
    ticks = draw.choice([0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF])
    if suffix == "mp4":
        for box, offset in ((b"mvhd", 16), (b"mdhd", 16), (b"elst", 12)):
            if draw.random() < 0.7:
                _set(mutated, box, offset, struct.pack(">I", ticks))
        if draw.random() < 0.5:
            for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24), (b"stts", 16)):
                _set(mutated, box, offset, struct.pack(">I", 0x7FFFFFFF - draw.randrange(1000)))
    elif suffix == "avi":
        _set(mutated, b"strh", 28, struct.pack("<I", ticks))
    elif suffix == "ts":
        for start in _places(mutated, b"\x00\x00\x01\xe0"):  # of pictures: PTS
            if draw.random() < 0.3:
                mutated[start + 9 : start + 14] = draw.randbytes(5)
    else:
        scale = struct.pack(">I", ticks)[1:]
        _set(mutated, b"\x2a\xd7\xb1", 4, scale)  # TimestampScale
    return bytes(mutated)


def _empty(_: random.Random, __: Originals, ___: str) -> bytes:
    return b""


def _text(draw: random.Random, _: Originals, __: str) -> bytes:
    words = ["<html>", "404", "Not Found", "ffconcat version 1.0", "#EXTM3U", "file /etc/passwd"]
    return "\n".join(draw.choices(words, k=draw.randrange(1, 50))).encode()


def _without_sound(_: random.Random, originals: Originals, suffix: str) -> bytes:
    return originals[f"without sound.{suffix}"]


def _without_picture(_: random.Random, originals: Originals, suffix: str) -> bytes:
    return originals[f"without picture.{suffix}"]


def _locked(draw: random.Random, originals: Originals, _: str) -> bytes:
    """An MP4 as DRM leaves it: the boxes can be read, and what they hold is noise."""
    whole = originals["mp4"]
    start = whole.find(b"mdat") + 4
    size = struct.unpack(">I", whole[start - 8 : start - 4])[0] - 8
    scrambled = whole[:start] + draw.randbytes(size) + whole[start + size :]
    if draw.random() < 0.5:
        scrambled = scrambled.replace(b"avc1", b"encv").replace(b"mp4a", b"enca")
    return scrambled


def _places(content: bytearray, mark: bytes) -> Iterator[int]:
    at = content.find(mark)
    while at >= 0:
        yield at
        at = content.find(mark, at + 1)


def _set(content: bytearray, mark: bytes, offset: int, value: bytes) -> None:
    """Overwrite what lies at an offset from each mark."""
    for at in _places(content, mark):
        start = at + offset
        if 0 <= start <= len(content) - len(value):
            content[start : start + len(value)] = value


MUTATIONS: dict[str, tuple[Mutation, int, frozenset[str]]] = {
    "truncated": (_truncated, 35, DAMAGED | STORED),
    "flipped": (_flipped, 40, DAMAGED | STORED | {"out_of_memory"}),
    "spliced": (_spliced, 25, DAMAGED | STORED),
    "zeroed": (_zeroed, 25, DAMAGED | STORED),
    "pictures": (_pictures, 15, frozenset({"corrupt", "not_media", "out_of_memory"}) | STORED),
    "sizes": (_sizes, 20, DAMAGED | STORED | {"out_of_memory"}),
    "rates": (_rates, 10, DAMAGED | STORED | {"out_of_memory"}),
    "time_bases": (_time_bases, 10, DAMAGED | STORED | {"out_of_memory"}),
    "empty": (_empty, 3, frozenset({"empty"})),
    "text": (_text, 5, frozenset({"not_media"})),
    "without_sound": (_without_sound, 3, frozenset({"no_audio"})),
    "without_picture": (_without_picture, 3, frozenset({"no_video"})),
    "locked": (_locked, 6, DAMAGED),
}
"""Of each kind: what makes it, how many, and what may become of them."""
