"""Damaged clips: what is lost is replaced and counted, and refused above one tenth."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import Decoder, PyAVDecoder, Sampling, decode_waveform
from preprocessing.media.encode import write_clip
from preprocessing.media.types import SAMPLE_RATE, Media

RATE = 48_000


def decode(decoder: Decoder, path: Path) -> Media:
    return decoder.decode(Clip("x", path, "label"), Sampling())


def tone(seconds: float) -> NDArray[np.float32]:
    """(1, S) of 440 Hz, amplitude .5, 48 kHz"""
    clock = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * clock)).astype(np.float32)[None]


def write(path: Path, sound: NDArray[np.float32], **how: str) -> None:
    frames = [np.full((48, 64, 3), 20 + i, np.uint8) for i in range(150)]
    write_clip(path, frames, 25, sound, RATE, **how)


def damage_packets(path: Path, kind: str, first: float, last: float) -> None:
    """Overwrite all packets of one stream from second to second by random bytes."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.stream.type != kind or packet.pts is None:
                continue
            if first <= packet.pts * packet.time_base < last:
                at = content.index(bytes(packet), packet.pos)  # behind the block's header
                junk = np.random.default_rng(packet.pts).bytes(packet.size)
                content[at : at + packet.size] = junk
    path.write_bytes(content)


def spoil_packets(path: Path, first: float, last: float) -> None:
    """Overwrite the second half of each packet of video from second to second."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and first <= packet.pts * packet.time_base < last:
                at, half = content.index(bytes(packet), packet.pos), packet.size // 2
                junk = np.random.default_rng(packet.pts).bytes(packet.size - half)
                content[at + half : at + packet.size] = junk
    path.write_bytes(content)


def with_floats(path: Path, samples: NDArray[np.float32]) -> None:
    """A clip whose sound is these very floats."""
    whole = path.with_suffix(".s16.mkv")
    write(whole, np.clip(np.nan_to_num(samples), -1, 1), audio_codec="pcm_s16le")
    with av.open(str(whole)) as reading, av.open(str(path), "w") as writing:
        video = writing.add_stream_from_template(reading.streams.video[0])
        audio = writing.add_stream("pcm_f32le", rate=RATE, layout="mono")
        for packet in reading.demux(reading.streams.video[0]):
            if packet.size:  # else PyAV's mark of the end
                packet.stream = video
                writing.mux(packet)
        frame = av.AudioFrame.from_ndarray(samples, "flt", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        writing.mux([*audio.encode(frame), *audio.encode(None)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_samples_that_are_no_numbers_are_never_stored(decoder, tmp_path, value) -> None:
    samples = tone(6)
    expected = np.array(samples)
    samples[0, 100_000:100_010] = value
    expected[0, 100_000:100_010] = 0
    spoilt, clean = tmp_path / "spoilt.mkv", tmp_path / "clean.mkv"
    with_floats(spoilt, samples)
    with_floats(clean, expected)
    media = decode(decoder, spoilt)
    assert np.isfinite(media.waveform).all()
    np.testing.assert_array_equal(media.waveform, decode(decoder, clean).waveform)
    assert media.damage.sound == pytest.approx(10 / (6 * RATE), rel=0.01)
    samples[0, : len(samples[0]) // 5] = value
    with_floats(spoilt, samples)
    with pytest.raises(ClipError, match="20% of its sound cannot be decoded"):
        decode(decoder, spoilt)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "aac"), (".mkv", "flac"), (".avi", "ac3")])
def test_a_damaged_packet_of_sound_is_silence(decoder, tmp_path, suffix, codec) -> None:
    path = tmp_path / f"clip{suffix}"
    write(path, tone(6), audio_codec=codec, video_codec="mpeg4")
    whole = decode(decoder, path)
    assert whole.damage.sound == 0
    damage_packets(path, "audio", 3.0, 3.09)
    media = decode(decoder, path)
    assert len(media.waveform) == len(whole.waveform)
    np.testing.assert_array_equal(media.frames, whole.frames)
    intact = np.r_[4_000 : int(2.9 * SAMPLE_RATE), int(3.4 * SAMPLE_RATE) : 90_000]
    np.testing.assert_allclose(media.waveform[intact], whole.waveform[intact], atol=2e-3)


def test_lost_packets_are_counted_and_refused_above_a_tenth(decoder, tmp_path) -> None:
    path = tmp_path / "clip.mkv"
    write(path, tone(6), audio_codec="flac", video_codec="mpeg4")
    damage_packets(path, "audio", 3.0, 3.4)
    media = decode(decoder, path)
    assert media.damage.sound == pytest.approx(0.4 / 6, abs=0.02)
    lost = media.waveform[int(3.15 * SAMPLE_RATE) : int(3.3 * SAMPLE_RATE)]
    np.testing.assert_allclose(lost, 0, atol=1e-3)
    damage_packets(path, "audio", 1.0, 2.0)
    with pytest.raises(ClipError, match="of its sound cannot be decoded") as error:
        decode(decoder, path)
    assert error.value.reason == "corrupt"


def test_rubbish_at_the_end_of_a_sound_file(tmp_path) -> None:
    path = tmp_path / "song.mp3"
    write_clip(path, None, 25, tone(3), RATE, audio_codec="libmp3lame")
    clip = Clip("query", path, "")
    whole = decode_waveform(clip, Sampling())
    path.write_bytes(path.read_bytes() + bytes(3_000))
    heard = decode_waveform(clip, Sampling())
    np.testing.assert_array_equal(heard[: len(whole) - 100], whole[:-100])


def test_a_damaged_packet_of_video_costs_its_frame(tmp_path) -> None:
    path = tmp_path / "clip.mkv"
    write(path, tone(6), audio_codec="flac", video_codec="ffv1")
    whole = decode(PyAVDecoder(), path)
    damage_packets(path, "video", 2.5, 2.51)
    media = decode(PyAVDecoder(), path)
    np.testing.assert_array_equal(np.delete(media.frames, 2, 0), np.delete(whole.frames, 2, 0))
    damage_packets(path, "video", 2.0, 4.0)
    with pytest.raises(ClipError, match="of its frames cannot be decoded"):
        decode(PyAVDecoder(), path)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".mov", "mpeg4")]
)
def test_frames_that_ffmpeg_patches_up_are_replaced(tmp_path, suffix, codec) -> None:
    """They are counted, and their neighbours stand for them; the same in every container."""
    path = tmp_path / f"clip{suffix}"
    base = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    frames = [np.roll(base, 2 * number, axis=1) for number in range(150)]
    write_clip(path, frames, 25, tone(6), RATE, video_codec=codec)
    spoil_packets(path, 2.5, 2.6)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        decoded = list(container.decode(video=0))
    shown, expected = None, []
    for frame in decoded:  # the last one that is whole
        shown = shown if frame.is_corrupt else frame.to_ndarray(format="rgb24")
        expected.append(shown)
    corrupt = [frame.is_corrupt for frame in decoded]
    assert sum(corrupt) >= 2
    clip, sampling = Clip("x", path, "label"), Sampling(25, frame_size=None)
    media = PyAVDecoder().decode(clip, sampling)
    np.testing.assert_array_equal(media.frames, expected)
    assert media.damage.frames == pytest.approx(np.mean(corrupt), abs=0.001)
    spoil_packets(path, 2.0, 4.0)
    with pytest.raises(ClipError, match=r"of its frames cannot be decoded \(damaged frames\)"):
        PyAVDecoder().decode(clip, sampling)


def test_a_stream_that_begins_within_a_group_of_pictures(tmp_path) -> None:
    """It begins at the first frame that FFmpeg decodes, and its sound with it."""
    whole, path = tmp_path / "whole.ts", tmp_path / "tail.ts"
    rng = np.random.default_rng(0)
    with av.open(str(whole), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"g": "30", "bf": "2"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = output.add_stream("aac", rate=RATE, layout="mono")
        sound = tone(6) * np.linspace(0.2, 1, 6 * RATE, dtype=np.float32)
        for number in range(150):
            noise = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
            part = sound[:, number * 1920 : (number + 1) * 1920]
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "mono")
            block.sample_rate, block.pts = RATE, number * 1920
            output.mux(audio.encode(block))
        output.mux([*video.encode(None), *audio.encode(None)])
    content = whole.read_bytes()
    path.write_bytes(content[int(len(content) * 0.28) // 188 * 188 :])
    with av.open(str(path)) as container:
        frames = [f for f in container.decode(video=0) if f.time is not None]
    media = PyAVDecoder().decode(Clip("x", path, "l"), Sampling(frames_per_second=25))
    first = next(frame for frame in frames if frame.key_frame)
    shown = [f.reformat(299, 299, "rgb24").to_ndarray() for f in frames if f.pts >= first.pts]
    assert len(media.frames) == pytest.approx(len(shown), abs=1)
    np.testing.assert_array_equal(media.frames[:60], shown[:60])
    assert len(media.waveform) / SAMPLE_RATE == pytest.approx(media.duration, abs=0.1)
