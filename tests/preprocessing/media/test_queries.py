"""Files of one modality, against the decoder of whole clips, and pictures against Pillow."""

import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, Reason
from preprocessing.media import PyAVDecoder, Sampling, decode_frames, decode_image, decode_waveform
from preprocessing.media.encode import write_clip

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def stripes(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Red, green and blue from left to right."""
    picture = np.zeros((height, width, 3), np.uint8)
    for part, colour in zip(np.array_split(np.arange(width), 3), COLOURS, strict=True):
        picture[:, part] = colour
    return picture


def tone(seconds: float, rate: int = 16_000, amplitude: float = 0.5) -> NDArray[np.float32]:
    """(1, S)"""
    t = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * 440 * t)).astype(np.float32)[None]


def clip_of(path: Path, **cut: float) -> Clip:
    return Clip("query", path, "", **cut)


@pytest.mark.parametrize("key_frames", [False, True])
@pytest.mark.parametrize("cut", [{}, {"start": 0.4, "end": 2.6}])
def test_one_modality_is_what_the_decoder_of_both_gives(tmp_path, cut, key_frames) -> None:
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 3 * 44_100)).astype(np.float32)
    write_clip(path, [np.roll(stripes(), 2 * shift, 1) for shift in range(75)], 25, noise)
    sampling = Sampling(frames_per_second=2, key_frames=key_frames)
    clip = clip_of(path, **cut)
    whole = PyAVDecoder().decode(clip, sampling)
    np.testing.assert_array_equal(decode_frames(clip, sampling), whole.frames)
    np.testing.assert_array_equal(decode_waveform(clip, sampling), whole.waveform)


def test_real_clips_one_modality_at_a_time(assets: Path) -> None:
    paths = sorted((assets / "clips").rglob("*.mp4"))[::12]
    paths += sorted((assets / "odd" / "torchcodec").glob("*.mp4"))[:4]
    tried = 0
    for path in paths:
        clip = clip_of(path)
        try:
            whole = PyAVDecoder().decode(clip, Sampling())
        except ClipError:
            continue
        tried += 1
        np.testing.assert_array_equal(decode_frames(clip, Sampling()), whole.frames)
        np.testing.assert_array_equal(decode_waveform(clip, Sampling()), whole.waveform)
    assert tried >= 4


def test_a_silent_video_has_pictures_and_a_sound_file_has_sound(tmp_path) -> None:
    silent, blind = tmp_path / "silent.mp4", tmp_path / "blind.wav"
    write_clip(silent, [stripes()] * 30, 10, None)
    write_clip(blind, None, 1, tone(2), 16_000, audio_codec="pcm_s16le")
    assert decode_frames(clip_of(silent), Sampling()).shape == (3, 299, 299, 3)
    np.testing.assert_allclose(decode_waveform(clip_of(blind), Sampling()), tone(2)[0], atol=1e-4)
    cut = decode_waveform(clip_of(blind, start=0.5, end=1.75), Sampling())
    np.testing.assert_allclose(cut, tone(2)[0, 8_000:28_000], atol=1e-4)
    for decode, path, reason in (
        (decode_waveform, silent, "no_audio"),
        (decode_frames, blind, "no_video"),
    ):
        with pytest.raises(ClipError) as caught:
            decode(clip_of(path), Sampling())
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_f32le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("mp4", "aac"),
    ],
)
def test_every_usual_sound_file(tmp_path, suffix, codec) -> None:
    path = tmp_path / f"tone.{suffix}"
    write_clip(path, None, 1, tone(2, 48_000), 48_000, audio_codec=codec)
    waveform = decode_waveform(clip_of(path), Sampling())
    assert len(waveform) == pytest.approx(32_000, abs=2_500)  # encoders pad
    spectrum = np.abs(np.fft.rfft(waveform[4_000:28_000]))
    assert spectrum.argmax() * 16_000 / 24_000 == pytest.approx(440, abs=1)
    assert np.abs(waveform[8_000:24_000]).max() == pytest.approx(0.5, abs=0.05)


def test_the_cover_of_a_music_file_is_no_picture(tmp_path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as song:
        sound = song.add_stream("libmp3lame", rate=16_000, layout="mono")
        cover = song.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(stripes(64, 64), "rgb24")
        samples = av.AudioFrame.from_ndarray(tone(2), "fltp", "mono")
        samples.sample_rate = 16_000
        song.mux([*cover.encode(picture), *cover.encode()])
        song.mux([*sound.encode(samples), *sound.encode()])
    assert len(decode_waveform(clip_of(path), Sampling())) == pytest.approx(32_000, abs=2_500)
    with pytest.raises(ClipError, match="no video stream"):
        decode_frames(clip_of(path), Sampling())


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 9, 16, 64])
def test_any_number_of_channels_is_averaged(tmp_path, channels) -> None:
    samples = np.random.default_rng(0).integers(-20_000, 20_000, (32_000, channels), dtype=np.int16)
    with wave.open(str(tmp_path / "many.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    waveform = decode_waveform(clip_of(tmp_path / "many.wav"), Sampling())
    np.testing.assert_allclose(waveform, samples.mean(axis=1) / 2**15, atol=1e-6)


def test_sounds_that_cannot_be_used(tmp_path) -> None:
    def sound(name: str, samples: NDArray[np.float32]) -> Path:
        path = tmp_path / name
        write_clip(path, None, 1, samples, 16_000, audio_codec="pcm_s16le")
        return path

    noise = tmp_path / "noise.wav"
    noise.write_bytes(np.random.default_rng(0).bytes(5_000))
    empty = tmp_path / "empty.wav"
    empty.touch()
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    expected: dict[Path, Reason] = {
        sound("silent.wav", np.zeros((1, 32_000), np.float32)): "no_audio",
        sound("short.wav", tone(0.9)): "too_short",
        noise: "not_media",
        empty: "empty",
        playlist: "not_media",
        tmp_path: "not_media",
        tmp_path / "gone.wav": "missing",
    }
    for path, reason in expected.items():
        with pytest.raises(ClipError) as caught:
            decode_waveform(clip_of(path), Sampling())
        assert (caught.value.reason, path.name in caught.value.message) == (reason, True)
    with pytest.raises(ClipError, match="more than the limit of 1 s"):
        decode_waveform(clip_of(sound("long.wav", tone(3))), Sampling(max_seconds=1))


def test_a_header_that_promises_little_cannot_fill_the_memory(tmp_path) -> None:
    path = tmp_path / "liar.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone(30)[0] * 20_000).astype("<i2").tobytes())
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFFF)  # as written to a pipe: of unknown length
    path.write_bytes(content)
    try:
        waveform = decode_waveform(clip_of(path), Sampling(max_seconds=5))
    except ClipError as error:
        assert error.reason == "out_of_memory"
    else:
        assert len(waveform) <= 16_000 * 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(tmp_path, orientation) -> None:
    """Pillow writes, and a table of the standard says how it is to be seen."""
    seen: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda image: image,
        2: np.fliplr,
        3: lambda image: np.rot90(image, 2),
        4: np.flipud,
        5: lambda image: image.transpose(1, 0, 2),
        6: lambda image: np.rot90(image, 3),
        7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
        8: lambda image: np.rot90(image, 1),
    }
    stored = stripes()
    stored[:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif, quality=100, subsampling=0)
    (found,) = decode_image(tmp_path / "photo.jpg", None)
    expected = seen[orientation](stored)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(int), expected, atol=12)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_pictures_are_resized_as_frames_are(tmp_path, suffix) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(stripes(480, 640)).save(path, quality=100)
    frames = decode_image(path)
    assert (frames.shape, frames.dtype) == ((1, 299, 299, 3), np.uint8)
    reference = Image.fromarray(stripes(480, 640)).resize((299, 299), Image.Resampling.BICUBIC)
    assert np.abs(frames[0].astype(int) - np.asarray(reference)).mean() < 3


def test_pictures_of_every_mode(tmp_path) -> None:
    grey = np.full((8, 8), 200, np.uint8)
    clear = np.zeros((8, 8, 4), np.uint8)
    pictures = {
        "grey": (Image.fromarray(grey), 200),
        "grey16": (Image.fromarray(np.full((8, 8), 200 << 8, np.uint16)), 200),
        "palette": (Image.fromarray(grey).convert("P"), 200),
        "bilevel": (Image.new("1", (8, 8), 1), 255),
        "transparent": (Image.fromarray(clear), 255),
    }
    for name, (picture, level) in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(decode_image(tmp_path / f"{name}.png", None), level)


def bomb(path: Path, side: int) -> Path:
    """A PNG whose header promises side × side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000))
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(
        signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def test_pictures_that_cannot_be_used(tmp_path) -> None:
    Image.fromarray(stripes()).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(stripes()).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:700])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    Image.fromarray(stripes()).save(tmp_path / "tiff.png", format="TIFF")
    expected: dict[Path, Reason] = {
        tmp_path / "cut.png": "corrupt",
        tmp_path / "cut.jpg": "corrupt",
        tmp_path / "text.jpg": "not_media",
        tmp_path / "tiff.png": "not_media",
        tmp_path / "empty.png": "empty",
        tmp_path / "gone.png": "missing",
        bomb(tmp_path / "large.png", 8_001): "out_of_memory",
        bomb(tmp_path / "larger.png", 10_000): "out_of_memory",
        bomb(tmp_path / "largest.png", 60_000): "out_of_memory",
    }
    for path, reason in expected.items():
        with pytest.raises(ClipError) as caught:
            decode_image(path)
        assert (caught.value.reason, path.name in caught.value.message) == (reason, True)
    with pytest.raises(ClipError):
        decode_image(tmp_path)
