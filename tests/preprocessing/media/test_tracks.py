"""Which picture and which sound a clip has, and what is shown where one of them is missing."""

from pathlib import Path

import numpy as np
import pytest

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Decoder, PyAVDecoder, Sampling, decode_waveform, media_kind
from preprocessing.media.types import SAMPLE_RATE, Media
from tests.preprocessing.media.conftest import FFmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=6")
TONES = [("-f", "lavfi", "-i", f"sine={hertz}:d=6") for hertz in (440, 880)]
ENCODED = ("-pix_fmt", "yuv420p")
MAPPED = ("-map", 0, "-map", 1, "-map", 2, "-map", 3)
RAW = ("-vsync", 0, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")


def decode(decoder: Decoder, path: Path) -> Media:
    return decoder.decode(Clip("x", path, "label"), Sampling(frame_size=None))


def hertz(media: Media) -> int:
    return int(np.abs(np.fft.rfft(media.waveform[SAMPLE_RATE : 2 * SAMPLE_RATE])).argmax())


def test_the_best_sound_that_can_be_decoded(decoder, ffmpeg: FFmpeg, tmp_path) -> None:
    """As phones write spatial sound: beside a track of higher bit rate, in a codec of their own."""
    path = tmp_path / "phone.mp4"
    coded = "-c:a aac -b:a:0 64k -b:a:1 192k -disposition:a:0 default -disposition:a:1 default"
    inputs = (*PICTURE, *TONES[0], *TONES[1], "-map", 0, "-map", 1, "-map", 2)
    ffmpeg(*inputs, *ENCODED, *coded.split(), path)
    assert hertz(decode(decoder, path)) == 880
    content = bytearray(path.read_bytes())
    for known, other in ((b"mp4a", b"apac"), (b"esds", b"free")):
        at = content.rindex(known)
        content[at : at + 4] = other
    path.write_bytes(content)
    assert hertz(decode(decoder, path)) == 440


@pytest.mark.parametrize("sound", [2, 3])
def test_picture_and_sound_are_of_one_programme(ffmpeg: FFmpeg, tmp_path, sound: int) -> None:
    """The other programme's sound has the higher bit rate."""
    path = tmp_path / "broadcast.ts"
    inputs = (
        *PICTURE,
        *PICTURE,
        *TONES[0],
        *TONES[1],
        *MAPPED,
    )
    rates = f"-b:a:{sound - 2} 48k -b:a:{3 - sound} 192k".split()
    first, second = f"title=a:st=0:st={sound}", f"title=b:st=1:st={5 - sound}"
    coded = ("-c:v", "mpeg2video", "-c:a", "mp2", *rates, "-program", first, "-program", second)
    ffmpeg(*inputs, *coded, path)
    assert hertz(decode(PyAVDecoder(), path)) == {2: 440, 3: 880}[sound]


SHORT = {
    ".mp4": "-c:v libx264 -c:a aac",
    ".mkv": "-c:v libx264 -c:a aac",
    ".webm": "-c:v libvpx -c:a libopus",
    ".flv": "-c:v flv -c:a libmp3lame",
    ".avi": "-c:v mpeg4 -c:a libmp3lame",
    ".ts": "-c:v mpeg2video -c:a mp2",
    ".mpg": "-c:v mpeg2video -c:a mp2",
    ".ogv": "-c:v libtheora -c:a libvorbis",
    ".wmv": "-c:v wmv2 -c:a wmav2",
}


@pytest.mark.parametrize("suffix", SHORT)
def test_the_last_frame_stays_until_the_sound_ends(ffmpeg: FFmpeg, tmp_path, suffix) -> None:
    path = tmp_path / f"short{suffix}"
    half = "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3"
    ffmpeg(*half, *TONES[0], *ENCODED, *SHORT[suffix].split(), path)
    media = decode(PyAVDecoder(), path)
    assert media.duration == pytest.approx(6, abs=0.15)
    assert len(media.waveform) / SAMPLE_RATE == pytest.approx(6, abs=0.15)
    assert "the last frame stays" in media.damage.notes[0]
    raw = ffmpeg("-i", path, *RAW)
    last = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3)[-1].astype(int)
    for frame in media.frames[3:]:
        assert np.abs(frame - last).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_frame_stays_on_every_decoder(decoder, ffmpeg, tmp_path, suffix) -> None:
    path = tmp_path / f"short{suffix}"
    half = "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3"
    ffmpeg(*half, *TONES[0], *ENCODED, *SHORT[suffix].split(), path)
    media, reference = decode(decoder, path), decode(PyAVDecoder(), path)
    assert media.duration == reference.duration
    assert np.abs(np.asarray(media.frames[5]).astype(int) - reference.frames[5]).mean() < 6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
def test_one_picture_under_a_song(decoder, ffmpeg: FFmpeg, tmp_path, suffix, codec) -> None:
    path = tmp_path / f"still{suffix}"
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    coded = (
        "-vf",
        "select=eq(n\\,0)",
        "-vsync",
        "vfr",
        "-c:v",
        codec,
        "-pix_fmt",
        pixels,
        "-c:a",
        "libmp3lame",
    )
    ffmpeg(*PICTURE, *TONES[0], *coded, path)
    if codec == "libx264" and suffix == ".avi" and not isinstance(decoder, PyAVDecoder):
        with pytest.raises(ClipError, match="not in the order of its frames"):
            decode(decoder, path)
        return
    media = decode(decoder, path)
    assert media.frames.shape[0] == 6
    assert (np.asarray(media.frames) == np.asarray(media.frames[:1])).all()
    assert len(media.waveform) / SAMPLE_RATE == pytest.approx(6, abs=0.1)


def test_a_screen_recording_of_variable_rate(decoder, ffmpeg: FFmpeg, tmp_path) -> None:
    """A frame where something changes, the last at 3.2 s of 6."""
    path = tmp_path / "screen.mkv"
    changes = "select='lt(n,5)+eq(n,40)+eq(n,80)'"
    ffmpeg(*PICTURE, *TONES[0], *ENCODED, "-vf", changes, "-vsync", "vfr", path)
    frames = np.asarray(decode(decoder, path).frames).astype(int)
    assert len(frames) == 6
    raw = ffmpeg("-i", path, *RAW)
    kept = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3)
    for frame, number in zip(frames, (4, 4, 5, 6, 6, 6), strict=True):
        assert np.abs(frame - kept[number]).mean() < 6


PAUSED = {".mkv": "-c:v libx264 -c:a flac", ".ts": "-c:v mpeg2video -c:a mp2"}


@pytest.mark.parametrize("suffix", PAUSED)
def test_a_pause_of_the_sound_is_silence_and_no_damage(ffmpeg: FFmpeg, tmp_path, suffix) -> None:
    """Two of six seconds without packets, as where a recorder was muted."""
    path = tmp_path / f"paused{suffix}"
    pause = "aselect='lt(t,2)+gte(t,4)'"
    ffmpeg(*PICTURE, *TONES[0], *ENCODED, "-af", pause, *PAUSED[suffix].split(), path)
    media = decode(PyAVDecoder(), path)
    assert media.damage.sound == 0
    assert "its sound pauses for 2.0 s" in media.damage.notes[0]
    quiet = media.waveform[round(2.2 * SAMPLE_RATE) : round(3.8 * SAMPLE_RATE)]
    assert np.abs(quiet).max() < 1e-3
    assert hertz(media) == 440
    last = media.waveform[round(4.5 * SAMPLE_RATE) :][:SAMPLE_RATE]
    assert np.abs(np.fft.rfft(last)).argmax() == 440


SOUNDS = {
    ".aiff": "-c:a pcm_s16be",
    ".au": "-c:a pcm_s16be",
    ".caf": "-c:a pcm_s16le",
    ".w64": "-c:a pcm_s16le",
    ".ac3": "-c:a ac3",
    ".eac3": "-c:a eac3",
    ".ogg": "-c:a libvorbis",
    "": "-c:a pcm_s16le -f wav",
}


@pytest.mark.parametrize("suffix", SOUNDS)
def test_sounds_of_many_formats(ffmpeg: FFmpeg, tmp_path, suffix) -> None:
    path = tmp_path / f"song{suffix}"
    ffmpeg(*TONES[0], *SOUNDS[suffix].split(), path)
    assert media_kind(path) == "audio"
    waveform = decode_waveform(Clip("x", path, ""), Sampling())
    raw = ffmpeg("-i", path, "-ar", SAMPLE_RATE, "-ac", 1, "-f", "f32le", "-")
    heard = np.frombuffer(raw, np.float32)
    count = min(len(heard), len(waveform))
    assert count == pytest.approx(6 * SAMPLE_RATE, abs=1_000)
    np.testing.assert_allclose(
        waveform[2_000 : count - 2_000], heard[2_000 : count - 2_000], atol=0.01
    )


CLIPS = {
    ".m2ts": "-c:v libx264 -c:a ac3",
    ".vob": "-c:v mpeg2video -c:a ac3",
    ".f4v": "-c:v libx264 -c:a aac",
    ".asf": "-c:v wmv2 -c:a wmav2",
    ".ogg": "-c:v libtheora -c:a libvorbis",
    "": "-c:v libx264 -c:a aac -f mp4",
}


@pytest.mark.parametrize("suffix", CLIPS)
def test_clips_of_many_formats(ffmpeg: FFmpeg, tmp_path, suffix) -> None:
    path = tmp_path / f"clip{suffix}"
    ffmpeg(*PICTURE, *TONES[0], *ENCODED, *CLIPS[suffix].split(), path)
    assert media_kind(path) == "video"
    media = decode(PyAVDecoder(), path)
    assert (len(media.frames), hertz(media)) == (6, 440)
    raw = ffmpeg(
        "-i",
        path,
        *RAW,
    )
    shown = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3)
    for frame, number in zip(media.frames, range(12, 150, 25), strict=True):
        near = shown[number - 1 : number + 2].astype(int)
        assert np.abs(frame - near).mean(axis=(1, 2, 3)).min() < 3


def test_a_refused_format_is_named_as_that(ffmpeg: FFmpeg, tmp_path) -> None:
    path = tmp_path / "clip.nut"
    ffmpeg(*PICTURE, *TONES[0], "-c:v", "mpeg4", "-c:a", "mp2", path)
    with pytest.raises(ClipError, match="not in a format that is read here") as error:
        media_kind(path)
    assert error.value.reason == "not_media"
