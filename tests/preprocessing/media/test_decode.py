"""Decoding, against clips whose pictures and sounds are known, and against PyAV on real ones."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, Reason, SetupError
from preprocessing.media import DECODERS, Decoder, PyAVDecoder, Sampling, decode_waveform
from preprocessing.media.encode import write_clip
from preprocessing.media.sampling import frame_times
from preprocessing.media.types import SAMPLE_RATE, Media

LEVELS = (16, 96, 176, 240)  # grey levels far enough apart to survive encoding


def decode(decoder: Decoder, path: Path, sampling: Sampling | None = None, **cut: float) -> Media:
    return decoder.decode(Clip("x", path, "label", **cut), sampling or Sampling())


def grey_frames(levels: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    return (np.full((48, 64, 3), level, np.uint8) for level in levels)


def tone(seconds: float, rate: int = 44_100, hertz: float = 440.0) -> NDArray[np.float32]:
    """(1, S), amplitude .5"""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)[None]


def levels_of(media: Media) -> list[int]:
    means = media.frames.mean(axis=(1, 2, 3))
    return [min(LEVELS, key=lambda level: abs(level - mean)) for mean in means]


@pytest.mark.parametrize(
    ("duration", "rate", "wanted"),
    [
        (10.03, 1, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]),
        (2.6, 1, [0.5, 1.5, 2.5]),
        (2.4, 1, [0.5, 1.5]),
        (0.4, 1, [0.2]),
        (1.0, 4, [0.125, 0.375, 0.625, 0.875]),
    ],
)
def test_frames_are_taken_from_the_middle_of_each_interval(duration, rate, wanted) -> None:
    np.testing.assert_allclose(frame_times(duration, rate), wanted)


def test_one_frame_a_second_resized_with_sound_at_16_khz(decoder, tmp_path) -> None:
    path = tmp_path / "ünï cödé.mp4"
    write_clip(path, grey_frames([LEVELS[i // 25] for i in range(100)]), 25, tone(4))
    media = decode(decoder, path)
    assert media.frames.shape == (4, 299, 299, 3)
    assert levels_of(media) == list(LEVELS)
    np.testing.assert_allclose(media.frame_times, [0.5, 1.5, 2.5, 3.5])
    assert media.duration == pytest.approx(4, abs=0.05)
    assert len(media.waveform) == pytest.approx(4 * SAMPLE_RATE, abs=200)
    spectrum = np.abs(np.fft.rfft(media.waveform[:SAMPLE_RATE]))
    assert spectrum.argmax() == 440
    assert media.source.size == path.stat().st_size
    assert media.source.mtime == path.stat().st_mtime_ns
    assert (media.source.codec, media.source.fps) == ("h264", 25.0)


def test_variable_frame_rate_is_sampled_by_time(decoder, tmp_path) -> None:
    """Half of the frames lie in the first half second: by index, all samples would be early."""
    times = [i / 60 for i in range(30)] + [1.0 + i / 10 for i in range(30)]
    levels = [LEVELS[0]] * 30 + [LEVELS[1 + i // 10] for i in range(30)]
    path = tmp_path / "vfr.mp4"
    write_clip(path, grey_frames(levels), 30, tone(4), frame_times=times)
    media = decode(decoder, path)
    assert levels_of(media) == list(LEVELS)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_are_upright(decoder, tmp_path, rotation) -> None:
    upright = np.zeros((64, 64, 3), np.uint8)
    upright[:32, :32] = 255  # white in the upper left quarter
    stored = np.rot90(upright, -rotation // 90)  # a player turns it back, counter-clockwise
    path = tmp_path / "turned.mp4"
    write_clip(path, [stored] * 30, 15, tone(2), rotation=rotation)
    frame = decode(decoder, path).frames[0].mean(axis=2)
    quarters = {
        (r, c): frame[r : r + 100, c : c + 100].mean() for r in (20, 180) for c in (20, 180)
    }
    assert max(quarters, key=quarters.__getitem__) == (20, 20)
    assert sorted(quarters.values())[2] < 60


def q16(a: int, b: int, c: int, d: int) -> tuple[int, ...]:
    """A display matrix: a pixel (x, y) is shown at (a·x + c·y, b·x + d·y)."""
    one = 1 << 16
    return (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_all_eight_orientations(decoder, tmp_path, transposed, signs) -> None:
    """Computed from the display matrix's definition, pixel by pixel."""
    stored = np.zeros((64, 64, 3), np.uint8)
    stored[:32, :32], stored[:32, 32:], stored[32:, :32] = 255, 170, 85
    first, second = signs
    numbers = (0, first, second, 0) if transposed else (first, 0, 0, second)
    path = tmp_path / "turned.mp4"
    write_clip(path, [stored] * 30, 15, tone(2), display_matrix=q16(*numbers))
    y, x = np.mgrid[:64, :64] - 31.5
    a, b, c, d = numbers
    shown = np.zeros_like(stored)
    shown[(b * x + d * y + 31.5).astype(int), (a * x + c * y + 31.5).astype(int)] = stored
    frame = decode(decoder, path).frames[0].mean(axis=2)
    for row in (20, 180):
        for column in (20, 180):
            found = frame[row : row + 100, column : column + 100].mean()
            expected = shown[row * 64 // 299 + 8, column * 64 // 299 + 8, 0]
            assert found == pytest.approx(expected, abs=20), (row, column)


def test_stereo_becomes_its_mean(decoder, tmp_path) -> None:
    """FFmpeg's own down-mix would give .354 for one silent channel, and clip two loud ones."""
    left = tone(2)
    path = tmp_path / "stereo.mkv"
    write_clip(
        path,
        grey_frames([100] * 30),
        15,
        np.concatenate([left, np.zeros_like(left)]),
        audio_codec="flac",
    )
    waveform = decode(decoder, path).waveform
    assert np.abs(waveform[4000:-4000]).max() == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("codec", ["flac", "aac"])
def test_channels_in_opposite_phase(decoder, tmp_path, codec) -> None:
    path = tmp_path / "opposite.mkv"
    left = tone(2)
    both = np.concatenate([left, -0.99 * left])
    write_clip(path, grey_frames([100] * 30), 15, both, audio_codec=codec)
    media = decode(decoder, path)
    assert np.abs(media.waveform[4000:-4000]).max() == pytest.approx(0.5, abs=0.01)
    assert media.damage.notes == ("its channels cancel out; channel 1 is used",)


def test_sound_and_picture_share_one_clock(decoder, tmp_path) -> None:
    """A flash and a beep at one moment, the sound track starting late in the container."""
    rate, moment, delay = 48_000, 2.0, 0.7
    sound = np.zeros((1, round((4 - delay) * rate)), np.float32)
    at = round((moment - delay) * rate)
    sound[:, at : at + rate // 4] = tone(0.25, rate, 1000)
    plain, late = tmp_path / "plain.mkv", tmp_path / "late.mkv"
    levels = [240 if moment <= i / 25 < moment + 0.25 else 16 for i in range(100)]
    write_clip(plain, grey_frames(levels), 25, sound, rate)
    delay_sound(plain, late, delay)
    media = decode(decoder, late, Sampling(frames_per_second=25))
    flash = media.frame_times[media.frames.mean(axis=(1, 2, 3)) > 128][0]
    beep = np.flatnonzero(np.abs(media.waveform) > 0.1)[0] / SAMPLE_RATE
    assert flash == pytest.approx(moment + 0.02, abs=0.021)  # taken mid-interval
    assert beep == pytest.approx(moment, abs=0.02)


def delay_sound(source: Path, target: Path, seconds: float) -> None:
    """Copy a file's streams, with the time stamps of its sound moved."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        streams = {s.index: writing.add_stream_from_template(s) for s in reading.streams}
        for packet in reading.demux():
            if packet.size == 0:
                continue  # PyAV's own end mark
            if packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts + round(seconds / packet.time_base)
            packet.stream = streams[packet.stream.index]
            writing.mux(packet)


def test_a_cut_has_a_clock_of_its_own(decoder, tmp_path) -> None:
    rate = 44_100
    sound = tone(4, rate)
    sound[:, : 2 * rate] = 0
    path = tmp_path / "clip.mp4"
    write_clip(path, grey_frames([LEVELS[i // 25] for i in range(100)]), 25, sound, rate)
    media = decode(decoder, path, start=1.0, end=3.0)
    assert levels_of(media) == [LEVELS[1], LEVELS[2]]
    np.testing.assert_allclose(media.frame_times, [0.5, 1.5])
    assert media.duration == 2.0
    assert len(media.waveform) == 2 * SAMPLE_RATE
    beep = np.flatnonzero(np.abs(media.waveform) > 0.1)[0] / SAMPLE_RATE
    assert beep == pytest.approx(1.0, abs=0.03)
    with pytest.raises(ClipError, match="the cut starts at 9 s"):
        decode(decoder, path, start=9.0)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [125, 3_000, 7_000, 8_200, 10_000])
def test_resampling_lets_through_what_16_khz_can_hold_and_nothing_else(
    tmp_path, rate, hertz
) -> None:
    path = tmp_path / "tone.wav"
    hum = tone(2, rate, 50) / 1000  # silence would be refused
    write_clip(path, None, 25, tone(2, rate, hertz) + hum, rate, audio_codec="pcm_s16le")
    waveform = decode_waveform(Clip("x", path, "label"), Sampling())[4_000:-4_000]
    window = np.hanning(len(waveform))
    heard_at = min(hertz, SAMPLE_RATE - hertz)
    turning = np.exp(-2j * np.pi * heard_at * np.arange(len(waveform)) / SAMPLE_RATE)
    amplitude = 2 * abs((window * waveform) @ turning) / window.sum()
    decibels = 20 * np.log10(amplitude / 0.5)
    assert abs(decibels) < 0.1 if hertz <= SAMPLE_RATE / 2 else decibels < -75


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_cut_far_into_a_file(decoder, tmp_path, suffix) -> None:
    """It is what the whole file has there, and the limit to its length is not the file's."""
    path = tmp_path / f"long{suffix}"
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    frames = [np.roll(picture, shift, axis=1) for shift in range(300)]
    write_clip(path, frames, 7, rng.normal(0, 0.1, (1, 42 * 16_000)).astype(np.float32), 16_000)
    whole = decode(decoder, path)
    part = decode(decoder, path, Sampling(max_seconds=5), start=31.0, end=35.0)
    np.testing.assert_array_equal(part.frames, whole.frames[31:35])
    sound = whole.waveform[31 * SAMPLE_RATE : 35 * SAMPLE_RATE]
    np.testing.assert_allclose(part.waveform, sound, atol=1e-3)


def test_a_cut_of_a_stream_that_is_refreshed_little_by_little(tmp_path) -> None:
    """A picture is whole only some time after what passes for a key frame."""
    path = tmp_path / "long.ts"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        options = {"x264-params": "intra-refresh=1:keyint=60"}
        video = output.add_stream("libx264", rate=7, options=options)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = output.add_stream("aac", rate=16_000, layout="mono")
        for second in range(42):
            noise = rng.normal(0, 0.1, (1, 16_000)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(noise, "fltp", "mono")
            heard.rate, heard.pts = 16_000, 16_000 * second
            output.mux(sound.encode(heard))
            for _ in range(7):
                seen = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
                output.mux(video.encode(av.VideoFrame.from_ndarray(seen, "rgb24")))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    whole = decode(PyAVDecoder(), path)
    part = decode(PyAVDecoder(), path, start=31.0, end=35.0)
    np.testing.assert_array_equal(part.frames, whole.frames[31:35])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_containers(decoder, tmp_path, suffix) -> None:
    path = tmp_path / f"clip{suffix}"
    codec = "mpeg4" if suffix == ".avi" else None
    write_clip(path, grey_frames([100] * 45), 15, tone(3), video_codec=codec)
    media = decode(decoder, path)
    assert (len(media.frames), round(media.duration)) == (3, 3)


def broken_clips(folder: Path) -> dict[str, tuple[Path, Reason]]:
    """Every way a clip can be unusable."""
    good = folder / "good.mp4"
    frames = [
        np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8) for i in range(100)
    ]
    write_clip(good, frames, 25, tone(4))
    cases: dict[str, tuple[Path, Reason]] = {
        "absent": (folder / "absent.mp4", "missing"),
        "folder": (folder, "not_media"),
    }
    holed = bytearray(good.read_bytes())
    hole = slice(len(holed) // 3, len(holed) // 2)
    holed[hole] = np.random.default_rng(1).bytes(hole.stop - hole.start)
    contents: dict[str, tuple[bytes, Reason]] = {
        "hole": (bytes(holed), "corrupt"),
        "zero bytes": (b"", "empty"),
        "text": (b"<html>video unavailable</html>" * 50, "not_media"),
        "noise": (np.random.default_rng(0).bytes(50_000), "not_media"),
        "no index": (good.read_bytes()[: good.stat().st_size // 2], "not_media"),
    }
    for name, (content, reason) in contents.items():
        path = folder / f"{name}.mp4"
        path.write_bytes(content)
        cases[name] = path, reason
    written: dict[
        str, tuple[list[NDArray[np.uint8]] | None, NDArray[np.float32] | None, Reason]
    ] = {
        "mute": (frames, None, "no_audio"),
        "silent": (frames, np.zeros((2, 4 * 44_100), np.float32), "no_audio"),
        "blind": (None, tone(4), "no_video"),
        "blink": (frames, tone(0.5), "too_short"),
    }
    for name, (pictures, sound, reason) in written.items():
        path = folder / f"{name}.mp4"
        write_clip(path, pictures, 25, sound)
        cases[name] = path, reason
    # A stream can lose its end and still be readable: its header promises more.
    streamed = folder / "streamed.mkv"
    write_clip(streamed, frames, 25, tone(4))
    truncated = folder / "truncated.mkv"
    truncated.write_bytes(streamed.read_bytes()[: streamed.stat().st_size // 2])
    cases["truncated"] = truncated, "corrupt"
    return cases


def test_every_unusable_clip_gets_its_reason(decoder, tmp_path) -> None:
    for name, (path, reason) in broken_clips(tmp_path).items():
        with pytest.raises(ClipError) as error:
            decode(decoder, path)
        assert error.value.reason == reason, f"{name}: {error.value}"
        assert str(path) in error.value.message
        assert "\n" not in error.value.message


def test_playlists_cannot_reach_other_files(decoder, tmp_path) -> None:
    """Each of these is read by FFmpeg as a list of other media, whatever its suffix."""
    write_clip(tmp_path / "secret.ts", grey_frames([100] * 60), 15, tone(4))
    playlists = {
        "concat": "ffconcat version 1.0\nfile secret.ts\n",
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "http": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/x.ts\n",
    }
    for name, text in playlists.items():
        path = tmp_path / f"{name}.mp4"
        path.write_text(text)
        with pytest.raises(ClipError) as error:
            decode(decoder, path)
        assert error.value.reason == "not_media"


def test_names_are_never_taken_for_options_or_protocols(decoder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-i.mp4", "http:x.mp4", "concat:a.mp4", 'it\'s a "clip".mp4', "50%d.mp4"):
        write_clip(tmp_path / name, grey_frames([100] * 30), 15, tone(2))
        assert len(decode(decoder, Path(name)).frames) == 2


def test_clips_beyond_the_limit_are_refused_before_they_are_read(decoder, tmp_path) -> None:
    path = tmp_path / "long.mp4"
    write_clip(path, grey_frames([100] * 60), 15, tone(4))
    with pytest.raises(ClipError, match="more than the limit of 3 s; cut it") as error:
        decode(decoder, path, Sampling(max_seconds=3))
    assert error.value.reason == "out_of_memory"


def test_torchcodec_without_ffmpeg_is_refused_before_any_clip(monkeypatch) -> None:
    """Recent releases are imported without it, and then fail at every clip."""
    torchcodec = pytest.importorskip("torchcodec")
    monkeypatch.setattr(torchcodec, "ffmpeg_major_version", None)
    monkeypatch.delitem(sys.modules, "preprocessing.media.torchcodec", raising=False)
    with pytest.raises(SetupError, match=r"no FFmpeg libraries.*apt-get install ffmpeg"):
        DECODERS["torchcodec"].make()


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9", "mpeg2video", "mpeg4"])
def test_pyav_decodes_what_is_found_on_the_internet(tmp_path, codec) -> None:
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = tmp_path / "clip.mkv"
    frames = grey_frames([LEVELS[i // 25] for i in range(100)])
    large = (np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1) for frame in frames)
    write_clip(path, large, 25, tone(4), video_codec=codec)
    assert levels_of(decode(PyAVDecoder(), path)) == list(LEVELS)
