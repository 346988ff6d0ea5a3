"""Synthetic clips are real files: what is written is what PyAV reads back."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from preprocessing.demo import DEMO_CLASSES, demo_recording, write_demo_clips
from preprocessing.demo.canvas import Canvas
from preprocessing.demo.demo import EVENTS
from preprocessing.demo.scenes import Painter
from preprocessing.demo.timeline import Timeline
from preprocessing.media.encode import write_clip

RATE = 22_050


@dataclass(frozen=True)
class Decoded:
    frames: list[av.VideoFrame]
    waveform: NDArray[np.float32]  # (C, S)
    sample_rate: int


def decode(path: Path) -> Decoded:
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0)) if file.streams.video else []
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return Decoded(frames, np.zeros((0, 0), np.float32), 0)
        rate = file.streams.audio[0].rate
        resampler = av.AudioResampler(format="fltp")
        blocks = [
            out.to_ndarray() for frame in file.decode(audio=0) for out in resampler.resample(frame)
        ]
    return Decoded(frames, np.concatenate(blocks, axis=1), rate)


def counting_frames(count: int = 12) -> list[NDArray[np.uint8]]:
    """Frames whose brightness tells their number, and whose top left corner is white."""
    frames = [np.full((48, 64, 3), 40 + 12 * number, np.uint8) for number in range(count)]
    for frame in frames:
        frame[:16, :16] = 255
    return frames


def sine(channels: int = 1, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float32]:
    t = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * 440 * (channel + 1) * t) for channel in range(channels)]
    return (0.5 * np.stack(tones)).astype(np.float32)


def rms(waveform: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(waveform**2)))


def canvas_with(paint: Painter, t: float) -> NDArray[np.float64]:
    """What a scene shows at a given second, on grey."""
    picture = Image.new("RGB", (160, 120), (128, 128, 128))
    paint(Canvas.over(picture), t)
    return np.asarray(picture, dtype=np.float64)


def clip_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_and_sound_come_back(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, counting_frames(), 12, sine(channels), RATE)
    clip = decode(path)
    assert [frame.time for frame in clip.frames] == pytest.approx(np.arange(12) / 12, abs=1e-3)
    levels = [frame.to_ndarray(format="rgb24")[24:, 24:].mean() for frame in clip.frames]
    assert levels == pytest.approx(40 + 12 * np.arange(12), abs=4)
    assert clip.sample_rate == RATE
    assert clip.waveform.shape == (channels, pytest.approx(RATE, abs=2200))
    spectrum = np.abs(np.fft.rfft(clip.waveform[:, 2000:18_000]))
    peaks = spectrum.argmax(axis=1) * RATE / 16_000
    assert peaks == pytest.approx(440 * np.arange(1, channels + 1), abs=5)


def test_picture_without_sound_and_sound_without_picture(tmp_path: Path) -> None:
    write_clip(tmp_path / "mute.mp4", counting_frames(), 12, None)
    write_clip(tmp_path / "dark.mp4", None, 12, sine(), RATE)
    mute, dark = decode(tmp_path / "mute.mp4"), decode(tmp_path / "dark.mp4")
    assert (len(mute.frames), mute.waveform.size) == (12, 0)
    assert (len(dark.frames), dark.waveform.size > 0) == (0, True)


@pytest.mark.parametrize(
    ("name", "video_codec", "audio_codec"),
    [
        ("clip.webm", "libvpx", "libopus"),
        ("clip.webm", "libvpx-vp9", "libopus"),
        ("clip.mkv", "mpeg4", "aac"),
    ],
)
def test_other_codecs(tmp_path: Path, name: str, video_codec: str, audio_codec: str) -> None:
    if missing := {video_codec, audio_codec} - av.codec.codecs_available:
        pytest.skip(f"this PyAV lacks {missing}")
    path = tmp_path / name
    write_clip(
        path,
        counting_frames(),
        12,
        sine(rate=48_000),
        48_000,
        video_codec=video_codec,
        audio_codec=audio_codec,
    )
    clip = decode(path)
    assert len(clip.frames) == 12
    assert rms(clip.waveform) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_frame_times_survive(tmp_path: Path) -> None:
    times = np.cumsum([0, 0.02, 0.02, 0.3, 0.05, 0.05, 0.7, 0.01, 0.04, 0.04, 0.5, 0.1])
    path = tmp_path / "variable.mp4"
    write_clip(path, counting_frames(), 25, None, frame_times=times.tolist())
    assert [frame.time for frame in decode(path).frames] == pytest.approx(times, abs=1e-4)


def test_rotation_is_kept_beside_the_pixels(tmp_path: Path) -> None:
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV writes no rotation")
    path = tmp_path / "turned.mp4"
    write_clip(path, counting_frames(), 12, None, rotation=90)
    frame = decode(path).frames[0]
    assert (frame.rotation, frame.width, frame.height) == (90, 64, 48)
    assert frame.to_ndarray(format="rgb24")[4, 4].mean() > 240


@pytest.mark.parametrize(
    ("frames", "waveform", "message"),
    [
        (None, None, "frames, a waveform, or both"),
        ([], None, "frames are empty"),
        ([np.zeros((48, 65, 3), np.uint8)], None, "not 65 × 48"),
        (None, sine()[0], "1 or 2 channels"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path,
    frames: list[NDArray[np.uint8]] | None,
    waveform: NDArray[np.float32] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        write_clip(tmp_path / "clip.mp4", frames, 12, waveform, RATE)
    assert clip_files(tmp_path) == []


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    seen: list[str] = []

    def interrupted() -> Iterator[NDArray[np.uint8]]:
        yield from counting_frames()
        seen.extend(clip_files(tmp_path))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip(tmp_path / "clip.mp4", interrupted(), 12, None)
    assert clip_files(tmp_path) == []
    # What a killed process would leave is hidden, and has no suffix that a scan looks for.
    assert len(seen) == 1
    assert seen[0].startswith(".")
    assert seen[0].endswith(".part")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    assert write_demo_clips(root, clips_per_class=1) == len(DEMO_CLASSES)
    return root


@pytest.mark.slow
def test_demo_clips_are_what_was_recorded(demo: Path) -> None:
    for label in DEMO_CLASSES:
        clip = decode(demo / label / f"{label}_000.mp4")
        recording = demo_recording(label, 0)
        channels, samples = recording.waveform.shape
        duration = samples / recording.sample_rate
        assert 3 <= duration <= 5
        assert len(clip.frames) == pytest.approx(duration * recording.fps, abs=1)
        assert clip.frames[-1].time == pytest.approx(
            (len(clip.frames) - 1) / recording.fps, abs=1e-3
        )
        assert clip.sample_rate == recording.sample_rate
        assert clip.waveform.shape == (channels, pytest.approx(samples, abs=2500))
        assert rms(clip.waveform) == pytest.approx(rms(recording.waveform), rel=0.1)
        first = next(recording.frames())
        error = clip.frames[0].to_ndarray(format="rgb24").astype(float) - first
        assert np.abs(error.mean(axis=(0, 1))).max() < 4


def test_demo_clips_that_are_there_are_kept(demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*.mp4")}
    gone = demo / "bell" / "bell_000.mp4"
    content = gone.read_bytes()
    gone.unlink()
    steps: list[tuple[int, int]] = []
    written = write_demo_clips(
        demo, clips_per_class=1, progress=lambda done, total: steps.append((done, total))
    )
    total = len(DEMO_CLASSES)
    assert written == 1
    assert steps == [(done, total) for done in range(1, total + 1)]
    assert gone.read_bytes() == content
    kept = {path: path.stat().st_mtime_ns for path in demo.rglob("*.mp4") if path != gone}
    assert kept == {path: before[path] for path in kept}
    assert len(kept) == total - 1


def test_clips_depend_on_seed_class_and_number_alone() -> None:
    def start(label: str, number: int, seed: int) -> tuple[bytes, bytes]:
        recording = demo_recording(label, number, seed=seed)
        frames = itertools.islice(recording.frames(), 3)
        return b"".join(frame.tobytes() for frame in frames), recording.waveform.tobytes()

    assert start("ball", 3, 7) == start("ball", 3, 7)
    picture, sound = start("ball", 3, 7)
    for other in (start("ball", 4, 7), start("ball", 3, 8), start("bell", 3, 7)):
        assert other[0] != picture
        assert other[1] != sound


@pytest.mark.parametrize("label", ["ball", "bell", "clock", "drum", "fireworks"])
def test_sound_and_motion_keep_to_the_beats(label: str) -> None:
    event = EVENTS[label]
    # Slow beats, so that one has nearly died away when the next comes.
    timeline = Timeline(3.0, 1.0, np.array([-0.5, 0.5, 1.5, 2.5, 3.5]), size=1.0)
    sound = event.sound(timeline, RATE, np.random.default_rng(0))
    for beat in timeline.beats[1:4]:
        around = slice(round((beat - 0.1) * RATE), round((beat + 0.1) * RATE))
        before, after = np.split(np.abs(sound[around]), 2)
        assert after.max() > 2 * before.max()

    paint = event.scene(timeline, np.random.default_rng(0))
    for beat in timeline.beats[1:4]:
        just_before, at_beat = (canvas_with(paint, float(beat) + lag) for lag in (-0.2, 0.02))
        assert np.abs(at_beat - just_before).mean() > 0.5


def test_classes_differ_in_picture_and_sound() -> None:
    timeline = Timeline(3.0, 0.8, np.arange(-0.4, 4.0, 0.8), size=1.0)
    pictures, sounds = {}, {}
    for label, event in EVENTS.items():
        paint = event.scene(timeline, np.random.default_rng(0))
        pictures[label] = np.mean([canvas_with(paint, t) for t in np.arange(0, 3, 0.25)], axis=0)
        sound = event.sound(timeline, RATE, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(sound / sound.std())) ** 2
        octaves = np.split(power, len(power) >> np.arange(8, 0, -1))
        peak = np.max(sound**2) / np.mean(sound**2)  # ticks are peaky where rain is even
        sounds[label] = 10 * np.log10([*(band.mean() for band in octaves), peak])
    for one, other in itertools.combinations(EVENTS, 2):
        assert np.abs(pictures[one] - pictures[other]).mean() > 8, (one, other)
        assert np.abs(sounds[one] - sounds[other]).max() > 6, (one, other)


def test_clips_vary_in_format() -> None:
    recordings = [demo_recording(label, number) for label in DEMO_CLASSES for number in range(3)]
    assert len({recording.fps for recording in recordings}) == 5
    assert len({recording.sample_rate for recording in recordings}) == 3
    assert len({len(recording.waveform) for recording in recordings}) == 2
    assert len({next(recording.frames()).shape for recording in recordings}) == 5
    assert {recording.fps for recording in recordings} >= {Fraction(30_000, 1001)}
