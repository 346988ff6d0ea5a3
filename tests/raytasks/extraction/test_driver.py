"""Extraction through real actors, with clips that kill and hang their decoder."""

import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from ray import cloudpickle
from ray.util.state import list_actors

from preprocessing.clips import Clip
from preprocessing.errors import ClipError, SetupError
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.damage import UNDAMAGED, Damage
from preprocessing.media.encode import write_clip
from preprocessing.media.types import ClipFeatures, Media, Source
from preprocessing.networks.extractor import FeatureExtractor, Networks
from preprocessing.remote import media_path
from preprocessing.store import FeatureStore, FeatureWriter, Provenance
from raytasks.cluster import Cluster
from raytasks.extraction.decoding import Decoding
from raytasks.extraction.driver import Extraction
from raytasks.extraction.layout import Layout
from raytasks.monitoring.progress import Progress

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

LOAD = partial(FeatureExtractor.load, Networks(untrained_audio=True))
NOT_UTF8 = "caf\udce9.mp4"
"""The name of a file whose bytes are Latin-1, as Python has it."""

PROVENANCE = Provenance(config={"test": 1}, weights={"vggish": "untrained"}, decoder="test")


class Averages:
    """Stands in for the networks, which take long to load."""

    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        return [
            ClipFeatures(
                np.asarray(media.frames, np.float32).mean(axis=(1, 2)),
                media.frame_times,
                np.abs(media.waveform[: 16 * 960]).reshape(1, -1)[:, ::100].copy(),
                np.full(1, 0.48),
                media.duration,
                media.source,
            )
            for media in clips
        ]


def averages(_device: torch.device) -> Averages:
    return Averages()


class FailingAverages(Averages):
    """Fails with long clips, as a GPU does whose memory is too small."""

    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        time.sleep(0.6)  # the driver looks every half second, and is to see several clips at work
        if any(media.duration > 3 for media in clips):
            raise RuntimeError("out of memory of another kind")
        return super().extract(clips)


def failing_averages(_device: torch.device) -> Averages:
    return FailingAverages()


class HostileDecoder(PyAVDecoder):
    """Does to its process what the clip's name says."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        if clip.id == "segfault" or (clip.id == "segfault once" and self.first_time(clip)):
            signal.raise_signal(signal.SIGSEGV)  # of this thread: another may take its time
        if clip.id == "hang":
            time.sleep(3600)
        if clip.id == "surprise":
            raise ZeroDivisionError("from deep inside")
        return super().decode(clip, sampling)

    @staticmethod
    def first_time(clip: Clip) -> bool:
        try:
            clip.path.with_suffix(".seen").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def make_clip(folder: Path, name: str, *, sound: bool = True, seconds: int = 2) -> Clip:
    path = folder / f"{name}.mp4"
    rng = np.random.default_rng(len(name))
    frames = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(15 * seconds)]
    waveform = rng.normal(0, 0.1, (1, seconds * 16_000)).astype(np.float32)
    write_clip(path, frames, 15, waveform if sound else None, 16_000)
    return Clip(name, path, "label")


def test_bad_clips_cost_nothing_but_themselves(cluster: Cluster, tmp_path: Path) -> None:
    good = [make_clip(tmp_path, f"good {i}") for i in range(6)]
    once = make_clip(tmp_path, "segfault once")
    bad = {
        "segfault": "decoder_crashed",
        "hang": "decode_timeout",
        "surprise": "corrupt",
        "mute": "no_audio",
        "too long": "network_failed",
        NOT_UTF8: "missing",
    }
    faulty = [
        make_clip(tmp_path, name, sound=name != "mute", seconds=4 if name == "too long" else 2)
        for name in list(bad)[:-1]
    ]
    faulty.append(Clip(NOT_UTF8, tmp_path / NOT_UTF8, "label"))
    clips = [faulty[0], *good[:3], once, *faulty[1:], *good[3:]]
    progress: list[Progress] = []
    out = tmp_path / "features.h5"
    with FeatureWriter(out, PROVENANCE) as writer:
        writer.plan(clips)
        summary = Extraction(
            writer=writer,
            sampling=Sampling(),
            load=failing_averages,
            layout=Layout.fitting(cluster),
            decoding=Decoding(HostileDecoder, HostileDecoder),
            clip_seconds=15,  # in which every good clip is decoded, on a busy machine too
            on_progress=progress.append,
        ).run(clips)
        writer.finish(clips)
    assert (summary.done, summary.failed) == (7, 6)
    assert summary.reasons == dict.fromkeys(bad.values(), 1)
    assert (progress[-1].done, progress[-1].failed, progress[-1].total) == (7, 6, 13)
    with FeatureStore(out) as store:
        assert sorted(store.ids) == sorted(clip.id for clip in [*good, once])
        reasons = {failure.clip.id: failure.reason for failure in store.failures}
        attempts = {failure.clip.id: failure.attempts for failure in store.failures}
        (said,) = [f.message for f in store.failures if f.reason == "network_failed"]
    assert reasons == bad
    assert attempts == dict.fromkeys(bad, 1) | {"segfault": 2, "hang": 2, "too long": 2}
    assert "the networks failed (RuntimeError: out of memory of another kind), 2 times" in said
    assert any(
        re.fullmatch(r"\w.* and \d more", doing) for p in progress for doing in p.processes.values()
    )
    assert_named()


class OddAverages(Averages):
    """Has no numbers for some clips, and others that were damaged."""

    def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
        damages = {4: Damage(frames=0.05, notes=("its clocks were joined",)), 5: Damage(sound=0.1)}
        features = [
            replace(features, damage=damages.get(round(media.duration), UNDAMAGED))
            for media, features in zip(clips, super().extract(clips), strict=True)
        ]
        for clip in features:
            if round(clip.duration) == 3:
                clip.audio[0, 0] = np.nan
        return features


def odd_averages(_device: torch.device) -> Averages:
    return OddAverages()


def test_nothing_that_is_wrong_with_features_passes_in_silence(
    cluster: Cluster, tmp_path: Path
) -> None:
    lengths = (2, 3, 4, 5, 5)
    clips = [make_clip(tmp_path, f"clip {n}", seconds=s) for n, s in enumerate(lengths)]
    with FeatureWriter(tmp_path / "features.h5", PROVENANCE) as writer:
        summary = Extraction(writer, Sampling(), odd_averages, Layout.fitting(cluster)).run(clips)
        writer.finish(clips)
        (failure,) = writer.failures(clips)
    assert (summary.done, summary.reasons) == (4, {"network_failed": 1})
    assert failure.clip == clips[1]
    assert "1 of 1 audio rows with NaN or infinity" in failure.message
    assert summary.repairs == {
        "clips": 3,
        "frames replaced by their neighbours": 1,
        "sound replaced by silence": 2,
        "its clocks were joined": 1,
    }
    with FeatureStore(tmp_path / "features.h5") as store:
        found = {record.clip.id: record.damage for record in store.records}
    assert found["clip 0"] == UNDAMAGED
    assert found["clip 2"] == Damage(0.05, notes=("its clocks were joined",))
    assert found["clip 3"] == found["clip 4"] == Damage(sound=0.1)


class InstantDecoder(HostileDecoder):
    """Takes no time for any clip, on a busy machine too, but hangs at one."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        if clip.id == "hang":
            return super().decode(clip, sampling)
        frames, waveform = np.zeros((2, 8, 8, 3), np.uint8), np.zeros(32_000, np.float32)
        return Media(frames, np.array([0.5, 1.5]), waveform, 2.0, Source(1, 1))


def test_a_clip_that_hangs_dies_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Its batch mates are not tried one by one, as suspects are."""
    clips = [make_clip(tmp_path, name) for name in ("good 1", "hang", "good 2", "good 3")]
    progress: list[Progress] = []
    with FeatureWriter(tmp_path / "features.h5", PROVENANCE) as writer:
        writer.plan(clips)
        summary = Extraction(
            writer=writer,
            sampling=Sampling(),
            load=averages,
            layout=replace(Layout.fitting(cluster), extractors=1, clips_per_call=4),
            decoding=Decoding(InstantDecoder, InstantDecoder),
            clip_seconds=10,
            on_progress=progress.append,
        ).run(clips)
        (failure,) = writer.failures(clips)
    assert (summary.done, summary.reasons) == (3, {"decode_timeout": 1})
    assert (failure.clip.id, failure.attempts) == ("hang", 2)
    doing = [item for one in progress for item in one.processes.items()]
    decoding = {what for name, what in doing if name.startswith("decoder")}
    assert decoding <= {"starting", "idle", "hang"}


def assert_named() -> None:
    """Ray's dashboard tells actors by what they do."""
    here = ray.get_runtime_context().gcs_address  # and no other Ray of this machine
    actors = {actor.name for actor in list_actors(here, limit=1000)}
    for kind in ("decoder", "extractor"):
        assert any(re.fullmatch(rf"{kind} \d+", actor) for actor in actors), actors


def test_features_are_those_of_a_single_process(cluster: Cluster, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, f"clip {i}") for i in range(5)]
    out = tmp_path / "features.h5"
    with FeatureWriter(out, PROVENANCE) as writer:
        writer.plan(clips)
        layout = Layout.fitting(cluster)
        Extraction(writer, Sampling(), LOAD, layout).run(clips)
        writer.finish(clips)
    decoder, extractor = PyAVDecoder(), LOAD()
    with FeatureStore(out) as store:
        for row, clip in enumerate(clips):
            (alone,) = extractor.extract([decoder.decode(clip, Sampling())])
            stored = store.clip(row)
            np.testing.assert_allclose(stored.visual, alone.visual, atol=1e-4)
            np.testing.assert_allclose(stored.audio, alone.audio, rtol=1e-3, atol=1e-4)
            np.testing.assert_array_equal(stored.visual_times, [0.5, 1.5])
            np.testing.assert_allclose(stored.audio_times, [0.48, 1.44])


def test_clips_are_fetched_where_they_are_decoded(cluster: Cluster, tmp_path: Path) -> None:
    near = [make_clip(tmp_path, f"clip {i}") for i in range(3)]
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        FeatureWriter(tmp_path / "features.h5", PROVENANCE) as writer,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        far = [
            Clip(f"far {clip.id}", media_path(f"{root}/{clip.file.name}"), "label")
            for clip in [*near, Clip("gone", tmp_path / "gone.mp4", "label")]
        ]
        clips = [clip for pair in zip(near, far, strict=False) for clip in pair] + far[3:]
        layout = Layout.fitting(cluster)
        for decoding in (Decoding(), Decoding(own_decoder=None, beside=True)):
            Extraction(writer, Sampling(), averages, layout, decoding).run(clips)
            writer.finish(clips)
            (failure,) = writer.failures(clips)
            assert (failure.clip, failure.reason) == (far[3], "missing")
            with FeatureStore(tmp_path / "features.h5") as store:
                for one, other in zip(near, far, strict=False):
                    pair = [store.clip(list(store.ids).index(clip.id)) for clip in (one, other)]
                    np.testing.assert_allclose(pair[0].visual, pair[1].visual, atol=1e-4)
                    np.testing.assert_allclose(pair[0].audio, pair[1].audio, atol=1e-4)
        server.shutdown()


class PickyDecoder(HostileDecoder):
    """Stands in for a GPU's: refuses some clips, which a CPU's decoder can take."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        if clip.id.startswith("refused"):
            raise ClipError("corrupt", "not this profile")
        return super().decode(clip, sampling)


@pytest.mark.parametrize(
    ("own_decoder", "beside"),
    [(None, True), (PickyDecoder, True), (PickyDecoder, False)],
    ids=["decoders only", "extractors and decoders", "decoders for what extractors refuse"],
)
def test_who_decodes(
    cluster: Cluster, tmp_path: Path, own_decoder: type[HostileDecoder] | None, beside: bool
) -> None:
    names = ["good 1", "good 2", "good 3", "refused 1", "segfault", "mute", "good 4", "refused 2"]
    clips = [make_clip(tmp_path, name, sound=name != "mute") for name in names]
    out = tmp_path / "features.h5"
    with FeatureWriter(out, PROVENANCE) as writer:
        writer.plan(clips)
        summary = Extraction(
            writer=writer,
            sampling=Sampling(),
            load=averages,
            layout=Layout.fitting(cluster),
            decoding=Decoding(HostileDecoder, own_decoder, beside),
        ).run(clips)
        writer.finish(clips)
    assert summary.reasons == {"decoder_crashed": 1, "no_audio": 1}
    with FeatureStore(out) as store:
        assert sorted(store.ids) == sorted(set(names) - {"segfault", "mute"})
        (alone,) = Averages().extract([PyAVDecoder().decode(clips[3], Sampling())])
        stored = store.clip(list(store.ids).index("refused 1"))
        np.testing.assert_allclose(stored.visual, alone.visual, atol=1e-4)


def no_weights(device: torch.device) -> FeatureExtractor:
    raise SetupError("no weights here; put them there")


def torn_weights(device: torch.device) -> FeatureExtractor:
    raise ValueError("weights of another network")


def no_decoder() -> HostileDecoder:
    raise SetupError("no FFmpeg here; install it")


def test_networks_that_always_fail_stop_the_run(cluster: Cluster, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, f"clip {i}", seconds=4) for i in range(3)]
    with FeatureWriter(tmp_path / "features.h5", PROVENANCE) as writer:
        writer.plan(clips)
        extraction = Extraction(writer, Sampling(), failing_averages, Layout.fitting(cluster))
        with pytest.raises(SetupError, match=r"fail with every clip so far \(RuntimeError: out of"):
            extraction.run(clips)
        assert not writer.failures(clips)


@pytest.mark.parametrize(
    ("load", "decoding", "said"),
    [
        (no_weights, Decoding(), r"^no weights here; put them there$"),
        (torn_weights, Decoding(), r"while starting \(ValueError: weights of another.* CPUs"),
        (averages, Decoding(PyAVDecoder, no_decoder), r"^no FFmpeg here; install it$"),
        (averages, Decoding(no_decoder, None, True), r"^no FFmpeg here; install it$"),
    ],
)
def test_what_keeps_an_actor_from_starting_is_said(
    cluster: Cluster,
    tmp_path: Path,
    load: Callable[[torch.device], FeatureExtractor],
    decoding: Decoding,
    said: str,
) -> None:
    clip = make_clip(tmp_path, "good")
    with FeatureWriter(tmp_path / "features.h5", PROVENANCE) as writer:
        writer.plan([clip])
        extraction = Extraction(writer, Sampling(), load, Layout.fitting(cluster), decoding)
        with pytest.raises(SetupError, match=said):
            extraction.run([clip])
