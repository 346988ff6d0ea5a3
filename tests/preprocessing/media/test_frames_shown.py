"""Every decoder takes the frames that a player shows, whatever the file is made of.

The reference decodes all frames from the first to the last with plain PyAV, and shows at each time
the last frame whose time has come.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray
from scipy.signal import resample_poly

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import DECODERS, Decoder, PyAVDecoder, Sampling
from preprocessing.media.types import SAMPLE_RATE, Media
from tests.preprocessing.media.conftest import FFmpeg

Picture = NDArray[np.uint8]

JUMPS = "it jumps to where the refresh begins, as if that were a key frame"

REFUSED = {
    ("DecordDecoder", "av1"): "decord's FFmpeg has no decoder for AV1",
    (
        "DecordDecoder",
        "open GOPs of HEVC",
    ): "decord jumps, and takes pictures that are half decoded",
    ("DecordDecoder", "10 bit HEVC"): "likewise",
    ("DecordDecoder", "deep-learning-sound-source-separation__guitar_violin.mp4"): (
        "an edit list hides 45 frames, which decord counts"
    ),
}
"""What a library cannot decode; that must be an error, and never other pictures."""

WRONG = {
    ("DecordDecoder", "intra refresh"): JUMPS,
    ("TorchcodecDecoder", "intra refresh"): JUMPS,
}
"""What a library decodes to other pictures, and no header tells: ``docs/decoding.md`` says so."""


@dataclass(frozen=True)
class Player:
    """All frames of a file.

    Attributes:
        starts: (N,) seconds at which each is first shown, the first at 0.
        pictures: (N, 299, 299, 3).
        clock: time stamp of the first, in seconds.
    """

    starts: NDArray[np.float64]
    pictures: Sequence[Picture]
    clock: float

    @classmethod
    def of(cls, path: Path) -> "Player":
        times, pictures = [], []
        with av.open(str(path)) as container:
            video = best_video(container)
            video.thread_type = "NONE"
            for frame in container.decode(video):
                assert frame.time is not None
                turned = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                upright = av.VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="rgb24")
                straight = upright if frame.rotation else frame  # scaled but once
                times.append(frame.time)
                pictures.append(straight.reformat(299, 299, "rgb24").to_ndarray())
        starts = np.array(times)
        return cls(starts - starts[0], pictures, times[0])

    def require(self, media: Media, *, levels: float) -> None:
        """Each sampled frame is the one shown then, to so many of 255 levels in the mean."""
        for time, frame in zip(media.frame_times, np.asarray(media.frames), strict=True):
            at = int(np.searchsorted(self.starts, time + 1e-6, side="right")) - 1
            errors = {
                index: np.abs(frame.astype(int) - self.pictures[index]).mean()
                for index in range(max(at - 1, 0), min(at + 2, len(self.pictures)))
            }
            assert errors[at] <= levels, (time, errors)
            assert errors[at] <= min(errors.values()) + 0.5, (time, errors)


def best_video(container: Any) -> VideoStream:
    stream = container.streams.best("video")
    assert isinstance(stream, VideoStream)
    return stream


def decode(decoder: Decoder, path: Path, sampling: Sampling | None = None) -> Media:
    return decoder.decode(Clip("x", path, "label"), sampling or Sampling())


def expect(decoder: Decoder, path: Path, kind: str) -> Media | None:
    """The media; or None where an error is what is to be expected."""
    if (type(decoder).__name__, kind) in REFUSED:
        with pytest.raises(ClipError, match="try --decoder pyav"):
            decode(decoder, path)
        return None
    return decode(decoder, path)


def add_sound(source: Path, target: Path, *, slower: int = 1) -> None:
    """Copy the picture's packets, ``slower`` times as long each, beside a tone."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        video = best_video(reading)
        copy = writing.add_stream_from_template(video, opaque=True)
        tone = Tone(writing, "libopus" if target.suffix == ".webm" else "aac")
        packets = [packet for packet in reading.demux(video) if packet.dts is not None]
        for packet in packets:
            packet.pts, packet.dts = packet.pts * slower, packet.dts * slower
            packet.duration *= slower
        first = min(packet.pts for packet in packets) * video.time_base
        last = max(packet.pts + packet.duration for packet in packets) * video.time_base
        for packet in packets:
            packet.stream = copy
            writing.mux(packet)
        tone.write(float(first), float(last))


class Tone:
    """A stream of sound in a file that is being written."""

    def __init__(self, output: Any, codec: str = "aac") -> None:
        self._output = output
        self._stream = output.add_stream(codec, rate=48_000, layout="mono")

    def write(self, first: float, last: float) -> None:
        """A tone from second to second."""
        samples = np.sin(np.arange(round((last - first) * 48_000)) * 0.06).astype(np.float32) / 3
        for start in range(0, len(samples), 960):
            part = samples[None, start : start + 960]
            block = av.AudioFrame.from_ndarray(part, "fltp", "mono")
            block.sample_rate, block.time_base = 48_000, Fraction(1, 48_000)
            block.pts = start + round(first * 48_000)
            self._output.mux(self._stream.encode(block))
        self._output.mux(self._stream.encode(None))


ODD = {  # each file → its codec, and how many times slower it becomes long enough
    "odd/torchcodec/h264_10bits.mp4": ("h264", 12),
    "odd/torchcodec/av1_video.mkv": ("av1", 1),
    "odd/torchcodec/testsrc2_vp8.webm": ("vp8", 12),
    "odd/torchcodec/testsrc2_mpeg4.mp4": ("mpeg4", 30),  # a single frame
    "odd/torchcodec/test_non_zero_start.mp4": ("h264", 12),
    "odd/decord/video_0.mov": ("h264", 12),
    "odd/decord/video_90.mov": ("h264", 12),
    "odd/decord/video_180.mov": ("h264", 12),
    "odd/no_audio/examples_gen3_case5.mp4": ("h264", 1),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files(decoder: Decoder, assets: Path, tmp_path: Path, name: str) -> None:
    """They have no sound, so each is given some."""
    source, (kind, slower) = assets / name, ODD[name]
    with pytest.raises(ClipError, match="no_audio"):
        decode(decoder, source)
    path = tmp_path / source.name
    add_sound(source, path, slower=slower)
    media = expect(decoder, path, kind)
    if media:
        Player.of(path).require(media, levels=6)


def test_of_several_streams_all_take_the_one_that_players_show(
    decoder: Decoder, assets: Path
) -> None:
    path = assets / "odd" / "torchcodec" / "nasa_13013.mp4"
    Player.of(path).require(decode(decoder, path), levels=6)


def test_a_corrupted_file(decoder: Decoder, assets: Path, tmp_path: Path) -> None:
    """Two of its 50 frames are damaged, none of them sampled: usable, where the library goes on."""
    path = tmp_path / "corrupted.mp4"
    add_sound(assets / "odd" / "decord" / "corrupted.mp4", path)
    if isinstance(decoder, PyAVDecoder):
        assert len(decode(decoder, path).frames) == 5
        return
    with pytest.raises(ClipError) as error:
        decode(decoder, path)
    assert error.value.reason == "corrupt"


def textured(count: int, height: int, width: int) -> list[Picture]:
    """Frames that no two of are alike: smooth waves that travel."""
    y, x = np.mgrid[:height, :width] / 16
    waves = [np.sin(x + 0.35 * i) + np.sin(y - 0.2 * i + x / 2) for i in range(count)]
    return [np.repeat((127 + 60 * wave)[..., None], 3, 2).astype(np.uint8) for wave in waves]


SYNTHETIC: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    # kind → encoder, its options, and attributes of its context
    "many B-frames": ("libx264", {"bf": "8", "b-pyramid": "normal", "g": "60"}, {}),
    "open GOPs": ("libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3"}, {}),
    "open GOPs of HEVC": ("libx265", {"x265-params": "open-gop=1:keyint=20:log-level=none"}, {}),
    "interlaced": ("libx264", {"flags": "+ildct+ilme", "x264-params": "tff=1"}, {}),
    "interlaced MPEG-2": ("mpeg2video", {"flags": "+ildct+ilme"}, {"bit_rate": 4_000_000}),
    "10 bit": ("libx264", {}, {"pix_fmt": "yuv420p10le"}),
    "10 bit HEVC": ("libx265", {"x265-params": "log-level=none"}, {"pix_fmt": "yuv420p10le"}),
    "4:4:4, odd size": ("libx264", {}, {"pix_fmt": "yuv444p", "height": 95, "width": 129}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, {}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "pred-struct=2"}, {}),
    "intra refresh": ("libx264", {"x264-params": "intra-refresh=1:keyint=40"}, {}),
}


def encode(path: Path, kind: str) -> None:
    """Four seconds of picture and a tone, at 25 frames a second."""
    codec, options, attributes = SYNTHETIC[kind]
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25, options=options)
        settings = {"pix_fmt": "yuv420p", "height": 96, "width": 128} | attributes
        for name, value in settings.items():
            setattr(stream, name, value)
        tone = Tone(output)
        for picture in textured(100, stream.height, stream.width):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
        tone.write(0, 4)


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_ways_to_encode(decoder: Decoder, tmp_path: Path, kind: str) -> None:
    if SYNTHETIC[kind][0] not in av.codec.codecs_available:
        pytest.skip(f"this PyAV has no encoder {SYNTHETIC[kind][0]}")
    path = tmp_path / "clip.mkv"
    encode(path, kind)
    if (known := WRONG.get((type(decoder).__name__, kind))) is not None:
        pytest.xfail(known)
    media = expect(decoder, path, kind)
    if media:
        assert len(media.frames) == 4
        Player.of(path).require(media, levels=6)


NUMBERED = {
    "b-frames.avi": "-c:v libx264 -bf 3 -g 50 -c:a libmp3lame",
    "packed.avi": "-c:v mpeg4 -bf 2 -c:a libmp3lame",
    "repeated.ogv": "-vf fps=5,fps=25 -c:v libtheora -c:a libvorbis",
}
"""Files in which FFmpeg's frames have no time stamps of their own, or packets have no data."""


@pytest.mark.parametrize("name", NUMBERED)
def test_frames_without_stamps_and_packets_without_data(
    decoder: Decoder, ffmpeg: FFmpeg, tmp_path: Path, name: str
) -> None:
    """Against the frames that ``ffmpeg`` gives at a constant rate, one after the other."""
    path = tmp_path / name
    sources = "-f lavfi -i testsrc=s=64x48:r=25:d=4 -f lavfi -i sine=d=4 -pix_fmt yuv420p"
    ffmpeg(*sources.split(), *NUMBERED[name].split(), path)
    rate = "-vsync passthrough" if path.suffix == ".avi" else "-vsync cfr -r 25"
    raw = ffmpeg("-i", path, *rate.split(), *["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
    shown = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64, 3).astype(int)
    sampling = Sampling(frames_per_second=25, frame_size=None)
    try:
        frames = np.asarray(decode(decoder, path, sampling).frames).astype(int)
    except ClipError as error:
        assert not isinstance(decoder, PyAVDecoder)
        assert "try --decoder pyav" in error.message
        return
    assert len(frames) == 100
    assert len(shown) >= 99  # the last frame may be one that repeats
    assert np.abs(frames[: len(shown)] - shown).mean(axis=(1, 2, 3)).max() < 6


REAL = [
    "clips/strings/specvqgan__54bz5yqN2IA_4000_14000.mp4",
    "clips/vehicle/foleycrafter__vggsound_2.mp4",
    "clips/other/specvqgan__video_00331.mp4",
    "clips/other/video-llama__skateboarding_dog.mp4",
    "clips/other/decord__flipping_a_pancake.mkv",
    "grid/bbaf2n.mpg",
]


@pytest.mark.parametrize("name", REAL)
def test_real_clips(decoder: Decoder, assets: Path, name: str) -> None:
    Player.of(assets / name).require(decode(decoder, assets / name), levels=6)


@pytest.mark.parametrize("name", REAL)
def test_what_pyav_leaves_out_changes_no_pixel(assets: Path, name: str) -> None:
    """Most B-frames are never decoded; the sampled frames equal those of a full decoding."""
    Player.of(assets / name).require(decode(PyAVDecoder(), assets / name), levels=0)


@pytest.mark.parametrize("name", REAL)
def test_sound_of_real_clips(decoder: Decoder, assets: Path, name: str) -> None:
    """Decoded by plain PyAV and resampled by SciPy."""
    path = assets / name
    media = decode(decoder, path)
    with av.open(str(path)) as container:
        first_picture = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
    rate = blocks[0].sample_rate
    parts: list[NDArray[Any]] = []
    for block in blocks:  # one clip's sound has a gap of 33 ms
        samples = np.atleast_2d(block.to_ndarray())
        gap = round((block.time - blocks[0].time) * rate) - sum(part.shape[1] for part in parts)
        if gap > rate / 50:
            parts.append(np.zeros((len(samples), gap), samples.dtype))
        parts.append(samples)
    raw = np.concatenate(parts, axis=1)
    if raw.dtype == np.int16:
        raw = raw / 2**15
    assert blocks[0].format.is_planar
    divisor = np.gcd(rate, SAMPLE_RATE)
    expected = resample_poly(raw.mean(axis=0), SAMPLE_RATE // divisor, rate // divisor)
    early = round((first_picture - blocks[0].time) * SAMPLE_RATE)  # sound before the first picture
    expected = expected[early:] if early > 0 else np.pad(expected, (-early, 0))
    length = min(len(expected), len(media.waveform)) - 2000
    correlation = np.corrcoef(expected[2000:length], media.waveform[2000:length])[0, 1]
    assert correlation > 0.995


def test_key_frames_are_the_nearest_ones(assets: Path) -> None:
    """On real clips, against every frame that a full decoding calls a key frame."""
    for name in REAL:
        media = decode(PyAVDecoder(), assets / name, Sampling(key_frames=True))
        with av.open(str(assets / name)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            first, keys = None, {}
            for frame in container.decode(stream):
                first = frame.time if first is None else first
                if frame.key_frame:
                    keys[frame.time - first] = frame.reformat(299, 299, "rgb24").to_ndarray()
        for time, picture in zip(media.frame_times, media.frames, strict=True):
            np.testing.assert_array_equal(picture, keys[min(keys, key=lambda t: abs(t - time))])


@pytest.mark.slow
def test_real_clips_by_all_decoders(assets: Path) -> None:
    """Half of 46 clips of the kind found on YouTube, by every decoder of this machine's cores."""
    decoders = []
    for backend in DECODERS.values():
        if not backend.on_gpu:
            with suppress(SetupError):
                decoders.append(backend.make())
    assert len(decoders) >= 2
    for path in sorted((assets / "clips").glob("*/*.m*"))[::2]:
        player = Player.of(path)
        for decoder in decoders:
            media = expect(decoder, path, path.name)
            if media is None:
                continue
            player.require(media, levels=6)
            assert len(media.frames) == pytest.approx(media.duration, abs=0.5)
            assert len(media.waveform) / SAMPLE_RATE == pytest.approx(media.duration, abs=0.6)
            assert np.abs(media.waveform).max() <= 1.5
