"""Picture and sound share one clock: a flash and its beep come out together, in any container."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av import Packet

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Decoder, PyAVDecoder, Sampling, decode_waveform
from preprocessing.media.encode import write_clip
from preprocessing.media.types import SAMPLE_RATE

FPS, RATE, SECONDS = 25, 48_000, 9
MOMENTS = (2.0, 5.0, 8.0)
LENGTH = 0.2

Move = Callable[[float, str], float | None]
"""Second of a packet and its stream's type → its new second, or None to leave it out."""

CONTAINERS = {
    "mp4": (".mp4", "libx264", "aac"),
    "matroska": (".mkv", "libx264", "flac"),
    "webm": (".webm", "libvpx", "libopus"),
    "vp9": (".webm", "libvpx-vp9", "libopus"),
    "transport stream": (".ts", "libx264", "aac"),
    "avi": (".avi", "mpeg4", "libmp3lame"),
}


def write_flashes(path: Path, video: str, audio: str) -> None:
    times = np.arange(FPS * SECONDS) / FPS
    flashing = np.any([(times >= m) & (times < m + LENGTH) for m in MOMENTS], axis=0)
    frames = (np.full((96, 128, 3), 235 if on else 20, np.uint8) for on in flashing)
    clock = np.arange(RATE * SECONDS) / RATE
    beeping = np.any([(clock >= m) & (clock < m + LENGTH) for m in MOMENTS], axis=0)
    sound = (0.5 * np.sin(2 * np.pi * 1000 * clock) * beeping).astype(np.float32)[None]
    write_clip(path, frames, FPS, sound, RATE, video_codec=video, audio_codec=audio)


def move(source: Path, target: Path, moved: Move) -> None:
    """Copy a file's packets to other times."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        copies = {s.index: writing.add_stream_from_template(s) for s in reading.streams}
        packets: list[Packet[Any]] = []
        for packet in reading.demux():
            if packet.dts is None or packet.pts is None:
                continue
            tick = packet.time_base or Fraction(1)
            second = moved(float(packet.pts * tick), packet.stream.type)
            if second is not None:
                shift = round(second / tick) - packet.pts
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copies[packet.stream_index]
                packets.append(packet)
        for packet in packets:
            writing.mux(packet)


REFUSED = {
    ("DecordDecoder", ".ts"): "it repairs frames of transport streams by copies, of which it warns",
    ("DecordDecoder", "cut.mp4"): "likewise those that an edit list hides",
    ("TorchcodecDecoder", ".ts"): "it misses the last frames of transport streams",
}
"""What a library cannot decode in full; that must be an error, and never other pictures."""


def onsets(decoder: Decoder, path: Path) -> tuple[list[float], list[float]]:
    """Seconds at which flashes and beeps begin."""
    media = decoder.decode(Clip("x", path, "label"), Sampling(frames_per_second=FPS, frame_size=32))
    bright = np.asarray(media.frames).mean(axis=(1, 2, 3)) > 128
    flashes = media.frame_times[np.flatnonzero(bright[1:] & ~bright[:-1]) + 1] - 0.5 / FPS
    block = SAMPLE_RATE // 1000
    loud = np.abs(media.waveform[: len(media.waveform) // block * block])
    loud = loud.reshape(-1, block).max(axis=1) > 0.15  # 1 ms each
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    beeps = [starts[0], *starts[1:][np.diff(starts) > 500]] if len(starts) else []
    return flashes.tolist(), [float(beep) / 1000 for beep in beeps]


def require_together(decoder: Decoder, path: Path, moments: tuple[float, ...]) -> None:
    if {(type(decoder).__name__, known) for known in (path.suffix, path.name)} & REFUSED.keys():
        with pytest.raises(ClipError, match="try --decoder pyav"):
            onsets(decoder, path)
        return
    flashes, beeps = onsets(decoder, path)
    assert beeps == pytest.approx(flashes, abs=0.02)
    assert flashes == pytest.approx(moments, abs=1.01 / FPS)  # AVI's first frame lasts two


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a file of flashes in a container, encoded but once for all decoders."""
    folder = tmp_path_factory.mktemp("recorded")

    @cache
    def record(kind: str) -> Path:
        suffix, video, audio = CONTAINERS[kind]
        path = folder / f"{kind}{suffix}"
        write_flashes(path, video, audio)
        return path

    return record


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container(decoder: Decoder, recorded, kind: str) -> None:
    require_together(decoder, recorded(kind), MOMENTS)


@pytest.fixture
def plain(recorded: Callable[[str], Path]) -> Path:
    return recorded("mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_clock_that_does_not_start_at_zero(decoder, tmp_path, plain, suffix) -> None:
    path = tmp_path / f"late{suffix}"
    move(plain, path, lambda second, _: second + 7.3)
    require_together(decoder, path, MOMENTS)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_that_starts_late(decoder, tmp_path, plain, suffix) -> None:
    path = tmp_path / f"late{suffix}"
    move(plain, path, lambda second, kind: second if kind == "video" or second >= 1 else None)
    require_together(decoder, path, MOMENTS)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_with_a_hole(decoder, tmp_path, plain, suffix) -> None:
    """Packets lost between the first and the second beep, as where a recording stumbles."""
    path = tmp_path / f"hole{suffix}"
    lost = (3.0, 3.4)
    move(
        plain,
        path,
        lambda second, kind: None if kind == "audio" and lost[0] < second < lost[1] else second,
    )
    require_together(decoder, path, MOMENTS)


def test_a_cut_without_encoding_anew(decoder, tmp_path, plain) -> None:
    """An edit list hides the frames between the key frame and the cut."""
    path = tmp_path / "cut.mp4"
    move(plain, path, lambda second, kind: second - 1.52 if second >= 0 else None)
    require_together(decoder, path, tuple(moment - 1.52 for moment in MOMENTS))


def test_stamps_beyond_all_bounds_take_no_memory(tmp_path, plain) -> None:
    """Sound a day after the picture, in a transport stream: FFmpeg joins the clocks again."""
    path = tmp_path / "jump.ts"
    move(
        plain,
        path,
        lambda second, kind: second + 80_000 if kind == "audio" and second > 6 else second,
    )
    flashes, beeps = onsets(PyAVDecoder(), path)
    assert beeps == pytest.approx(flashes, abs=0.02)


def joined(folder: Path, suffix: str, video: str, audio: str) -> Path:
    """Two recordings of three seconds, one after the other in one file, 440 and 880 Hz."""
    content = b""
    for number, hertz in enumerate((440, 880)):
        clock = np.arange(RATE * 3) / RATE
        sound = (0.5 * np.sin(2 * np.pi * hertz * clock)).astype(np.float32)[None]
        frames = (np.full((96, 128, 3), 40 + 120 * number + i, np.uint8) for i in range(75))
        part = folder / f"{hertz}{suffix}"
        write_clip(part, frames, FPS, sound, RATE, video_codec=video, audio_codec=audio)
        content += part.read_bytes()
    path = folder / f"joined{suffix}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("suffix", "video", "audio"),
    [(".ts", "libx264", "aac"), (".ts", "mpeg2video", "mp2"), (".mpg", "mpeg2video", "mp2")],
)
def test_joined_recordings_follow_each_other(tmp_path, suffix, video, audio) -> None:
    path = joined(tmp_path, suffix, video, audio)
    media = PyAVDecoder().decode(Clip("x", path, "label"), Sampling(frames_per_second=5))
    assert media.duration == pytest.approx(6, abs=0.15)
    assert "time stamps jump" in media.damage.notes[0]
    levels = media.frames.mean(axis=(1, 2, 3))
    expected = [40 + 120 * (t >= 3) + 25 * (t % 3) for t in media.frame_times]
    np.testing.assert_allclose(levels, expected, atol=6)
    for first, hertz in ((0.5, 440), (3.5, 880)):
        part = media.waveform[int(first * SAMPLE_RATE) :][: 2 * SAMPLE_RATE]
        assert np.abs(np.fft.rfft(part)).argmax() / 2 == pytest.approx(hertz, abs=2)


def test_a_clock_that_jumps(tmp_path) -> None:
    """Both tracks go on at another time: more than ten seconds are a new clock, as to FFmpeg."""
    plain, path = tmp_path / "plain.ts", tmp_path / "jump.ts"
    write_flashes(plain, "mpeg2video", "aac")
    move(plain, path, lambda second, _: second + 50 * (second > 6.5))
    flashes, beeps = onsets(PyAVDecoder(), path)
    assert flashes == pytest.approx(MOMENTS, abs=0.15)
    assert beeps == pytest.approx(flashes, abs=0.1)
    move(plain, path, lambda second, _: second + 7 * 3600 * (second > 6.5))
    flashes, beeps = onsets(PyAVDecoder(), path)
    assert flashes == pytest.approx(MOMENTS, abs=0.15)
    assert len(decode_waveform(Clip("x", path, "label"), Sampling())) > 8 * SAMPLE_RATE
    move(plain, path, lambda second, _: second + 3 * (second > 6.5))
    flashes, beeps = onsets(PyAVDecoder(), path)
    assert flashes == pytest.approx([*MOMENTS[:2], MOMENTS[2] + 3], abs=0.15)
    assert beeps == pytest.approx(flashes, abs=0.1)
    media = PyAVDecoder().decode(Clip("x", path, "label"), Sampling())
    assert media.damage.sound == 0
    assert "its sound pauses for 3.0 s" in media.damage.notes[0]
