"""A short cut of a long file costs what the cut is long, and is what the whole file has there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.media import PyAVDecoder, Sampling, decode_waveform, packets
from preprocessing.media.headers import opened
from preprocessing.media.reading import Reading
from preprocessing.media.types import SAMPLE_RATE
from tests.conftest import Once
from tests.preprocessing.media.conftest import FFmpeg

SECONDS = 240
CODECS = {
    ".mp4": "-c:v libx264 -bf 2 -c:a aac",
    ".mkv": "-c:v libx264 -bf 2 -c:a flac",
    ".webm": "-c:v libvpx -deadline realtime -c:a libopus",
    ".avi": "-c:v mpeg4 -c:a libmp3lame",
    ".ogv": "-c:v libtheora -c:a libvorbis",
    ".flv": "-c:v flv -c:a libmp3lame",
    ".ts": "-c:v mpeg2video -c:a mp2",
}
SEARCHED = (".mp4", ".mkv", ".webm", ".avi")
"""The others' clocks may jump, or they have no index: they are read from their beginning, but
nothing is kept of what lies before the cut."""


@pytest.fixture(params=CODECS)
def long(request: pytest.FixtureRequest, once: Once, ffmpeg: FFmpeg) -> Path:
    """Four minutes of a moving picture and a rising tone."""
    name = f"long{request.param}"

    def write(folder: Path) -> None:
        sources = f"testsrc=s=64x48:r=25:d={SECONDS}", f"aevalsrc=sin(t*t*60)/2:d={SECONDS}"
        inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
        options = [*CODECS[request.param].split(), "-g", "50", "-pix_fmt", "yuv420p"]
        ffmpeg(*inputs, *options, folder / name)

    return once(name, write) / name


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The packets that are read of any file."""
    readable, seen = packets._readable, []

    def noting(*arguments: Any) -> Iterator[Any]:
        for packet in readable(*arguments):
            seen.append(packet.pts)
            yield packet

    monkeypatch.setattr(packets, "_readable", noting)
    return seen


def test_no_more_is_read_and_kept_than_the_cut_needs(long: Path, read: list[Any]) -> None:
    with av.open(str(long)) as container:
        total = sum(packet.size > 0 for packet in container.demux())
    with av.open(str(long)) as container:
        streams = container.streams.video[0], container.streams.audio[0]
        stretch = packets.read_stretch(container, *streams, start=200.0, end=205.0)
    assert sum(map(len, stretch.packets)) < total * 30 / SECONDS
    assert len(read) < total * (40 / SECONDS if long.suffix in SEARCHED else 215 / SECONDS)
    assert not stretch.to_end


@pytest.mark.parametrize("cut", [(2.0, 7.0), (200.0, 205.0)])
def test_a_cut_is_what_the_whole_file_has_there(long: Path, ffmpeg: FFmpeg, cut) -> None:
    """Frames and samples, against FFmpeg's decoding of the whole file."""
    start, end = cut
    clip = Clip("x", long, "l", start=start, end=end)
    media = PyAVDecoder().decode(clip, Sampling(5, frame_size=None))
    assert media.duration == end - start
    shown = f"trim={start}:{end},setpts=PTS-STARTPTS"
    raw = ffmpeg("-i", long, "-vf", shown, "-vsync", 0, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    whole = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3)
    for number, frame in enumerate(np.asarray(media.frames)):
        near = whole[5 * number + 1 : 5 * number + 4].astype(int)  # AVI's first frame lasts two
        assert np.abs(frame - near).mean(axis=(1, 2, 3)).min() < 1.5, number
    sound = f"atrim={start}:{end}"
    raw = ffmpeg("-i", long, "-af", sound, "-ar", SAMPLE_RATE, "-f", "f32le", "-ac", 1, "-")
    expected = np.frombuffer(raw, np.float32)
    for second in range(4):
        part = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
        assert middle_of(media.waveform[part]) == pytest.approx(middle_of(expected[part]), abs=3)


def middle_of(sound: NDArray[np.float32]) -> float:
    """The frequency below which half of the energy of one second lies, in Hz."""
    energy = np.cumsum(np.abs(np.fft.rfft(sound)) ** 2)
    return float(np.searchsorted(energy, energy[-1] / 2))


@pytest.mark.parametrize("start", [2.0, 200.0])
def test_a_cut_of_sound_alone(once: Once, ffmpeg: FFmpeg, tmp_path, read, start) -> None:
    """Read and decoded no further back than needed, to the same samples."""
    path = tmp_path / "song.flac"
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc=sin(t*t*60)/2:d={SECONDS}:s=16000", path)
    whole = decode_waveform(Clip("x", path, ""), Sampling())
    read.clear()
    part = decode_waveform(Clip("x", path, "", start=start, end=start + 5), Sampling())
    first = round(start * SAMPLE_RATE)
    np.testing.assert_allclose(part, whole[first : first + 5 * SAMPLE_RATE], atol=1e-3)
    assert len(read) < 0.1 * SECONDS * SAMPLE_RATE / 1024


def test_the_memory_follows_the_cut(decoder, tmp_path, ffmpeg: FFmpeg) -> None:
    """A file of 300 MB, of which a decoder that keeps all packets would keep them all."""
    path = tmp_path / "large.mkv"
    noise = "nullsrc=s=320x240:r=25:d=80,geq=random(1)*255:128:128"
    coded = "-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-c:a", "flac"
    ffmpeg("-f", "lavfi", "-i", noise, "-f", "lavfi", "-i", "sine=d=80", *coded, path)
    assert path.stat().st_size > 200e6
    clip = Clip("x", path, "l", start=60, end=64)
    with opened(path) as container:
        reading = Reading.of(container, clip, Sampling())
        kept = sum(packet.size for packet in reading.video)
    assert kept < 0.3 * path.stat().st_size
    assert decoder.decode(clip, Sampling()).duration == 4
