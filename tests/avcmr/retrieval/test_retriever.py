"""A small run from made-up clips to the search of it; the clips that are found, and how."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from avcmr import Hit, Retriever
from avcmr.cli import app
from avcmr.config_files import load_config
from avcmr.evaluation.embeddings import embed_test_split
from avcmr.features.dataset import load_dataset
from avcmr.retrieval.collection import read_collection, read_origin
from avcmr.retrieval.index import build_index, load_index
from avcmr.retrieval.query import QueryExtractor
from avcmr.training.loop import train
from avcmr.training.run_folder import Checkpoint, RunFolder
from preprocessing import extract_clip
from preprocessing.clips import NO_FILE, Clip
from preprocessing.errors import ClipError, NotFoundError, SetupError, UsageError
from preprocessing.media import PyAVDecoder, Sampling, decode_frames, decode_waveform
from preprocessing.media.encode import write_clip
from preprocessing.media.types import ClipFeatures
from preprocessing.networks.extractor import FeatureExtractor, Networks
from preprocessing.networks.weights import find
from preprocessing.store import FeatureStore, FeatureWriter, Provenance

QUICK = [
    "batch_size=8",
    "model.hidden=[16]",
    "model.embedding_dim=8",
    "stage1.max_epochs=4",
    "stage2.max_epochs=2",
]
NETWORKS = Networks(untrained_audio=True)
CLASSES = ("low [red]", "middle", "high")
PER_CLASS = 4
SAMPLING = Sampling()


@dataclass(frozen=True)
class Made:
    """What the fixture made."""

    run: Path
    features: Path
    clips: list[Clip]
    rows: list[ClipFeatures]
    extractor: FeatureExtractor


def film(path: Path, number: int) -> None:
    """1.2 seconds of one colour and one tone, both by class, and noise over both."""
    draw = np.random.default_rng(number)
    kind = number % len(CLASSES)
    colour = np.roll([200, 60, 30], kind)
    frames = [
        np.clip(colour + draw.normal(0, 30, (48, 64, 3)), 0, 255).astype(np.uint8) for _ in range(6)
    ]
    time = np.arange(19_200) / 16_000
    sound = 0.3 * np.sin(2 * np.pi * 300 * 3**kind * time) + draw.normal(0, 0.05, len(time))
    write_clip(path, frames, 5, sound.astype(np.float32)[None], 16_000)


def store(
    path: Path,
    clips: list[Clip],
    features: list[ClipFeatures],
    sampling: Sampling = SAMPLING,
    networks: Networks = NETWORKS,
) -> None:
    provenance = Provenance(networks.describe(sampling), networks.origins(), "PyAV")
    with FeatureWriter(path, provenance) as writer:
        for clip, its in zip(clips, features, strict=True):
            writer.add(clip, its)
        writer.finish(clips)


def extracted(clips: list[Clip], extractor: FeatureExtractor) -> list[ClipFeatures]:
    return extractor.extract([PyAVDecoder().decode(clip, SAMPLING) for clip in clips])


def train_run(features: Path, run: Path, *overrides: str) -> RunFolder:
    config = load_config(None, [*QUICK, *overrides]).model_copy(update={"features": features})
    dataset = load_dataset(features, config.data)
    folder = RunFolder(run)
    with folder.opened(config, dataset):
        train(dataset, config, folder)
    return folder


load_once = lru_cache(FeatureExtractor.load)


@pytest.fixture(autouse=True, scope="module")
def _networks_are_loaded_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractor, "load", load_once)
        yield


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    if find(NETWORKS.visual) is None:
        pytest.skip(f"needs the weights of {NETWORKS.visual}")
    return FeatureExtractor.load(NETWORKS, torch.device("cpu"))


@pytest.fixture(scope="module")
def made(extractor: FeatureExtractor, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    clips = []
    for number in range(len(CLASSES) * PER_CLASS):
        path = folder / f"{number:02d}.mp4"
        film(path, number)
        clips.append(Clip(f"clip_{number:02d}", path, CLASSES[number % len(CLASSES)]))
    rows = extracted(clips, extractor)
    store(folder / "features.h5", clips, rows)
    train_run(folder / "features.h5", folder / "run")
    return Made(folder / "run", folder / "features.h5", clips, rows, extractor)


@pytest.fixture(scope="module")
def retriever(made: Made) -> Retriever:
    return Retriever.load(made.run, device="cpu")


@pytest.fixture
def own_run(made: Made, tmp_path: Path) -> Path:
    """A copy of the run, to be spoiled."""
    return Path(shutil.copytree(made.run, tmp_path / "run"))


def test_the_collection_is_all_clips_as_the_run_sees_them(made, retriever) -> None:
    collection = retriever.collection
    assert collection.ids == tuple(clip.id for clip in made.clips)
    assert collection.labels == tuple(clip.label for clip in made.clips)
    assert collection.paths == tuple(clip.path for clip in made.clips)
    assert np.isnan([collection.starts, collection.ends]).all()
    assert retriever.warnings
    dataset = load_dataset(made.features, load_config(made.run).data)
    for split in ("train", "val", "test"):
        ids = {
            id_ for id_, of in zip(collection.ids, collection.splits, strict=True) if of == split
        }
        assert ids == set(getattr(dataset, split).ids)
    test = embed_test_split(RunFolder(made.run))
    rows = [collection.ids.index(id_) for id_ in test.ids]
    torch.testing.assert_close(collection.audio[rows], test.audio, atol=1e-6, rtol=0)
    torch.testing.assert_close(collection.visual[rows], test.visual, atol=1e-6, rtol=0)


def test_a_clips_own_file_has_its_embedding(made, retriever) -> None:
    for row in (0, 4, 8):
        path = made.clips[row].path
        heard, seen = retriever.embed_audio_file(path), retriever.embed_video_file(str(path))
        torch.testing.assert_close(heard, retriever.collection.audio[row], atol=1e-4, rtol=0)
        torch.testing.assert_close(seen, retriever.collection.visual[row], atol=1e-4, rtol=0)


def test_a_clips_sound_or_frame_alone_is_near_to_it(made, retriever, tmp_path) -> None:
    clip = made.clips[5]
    waveform = decode_waveform(clip, SAMPLING)
    write_clip(tmp_path / "a.wav", None, 1, waveform[None], 16_000, audio_codec="pcm_f32le")
    heard = retriever.embed_audio_file(tmp_path / "a.wav")
    torch.testing.assert_close(heard, retriever.collection.audio[5], atol=1e-4, rtol=0)
    Image.fromarray(decode_frames(clip, SAMPLING)[0]).save(tmp_path / "a.png")
    seen = retriever.embed_image_file(tmp_path / "a.png")
    assert float(seen @ retriever.collection.visual[5]) > 0.99


def test_a_real_clip_made_by_the_same_networks(made, own_run, assets, tmp_path) -> None:
    """Another store is indexed for the run, and the clip's file has its embedding."""
    path = assets / "clips" / "dog" / "specvqgan__video_02677.mp4"
    clip = Clip("bark", path, "dog", "test")
    store(tmp_path / "real.h5", [clip], extracted([clip], made.extractor))
    found = Retriever.load(own_run, features=tmp_path / "real.h5", device="cpu")
    assert (found.collection.labels, found.collection.splits) == (("dog",), ("test",))
    heard, seen = found.embed_audio_file(path), found.embed_video_file(path)
    torch.testing.assert_close(heard, found.collection.audio[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen, found.collection.visual[0], atol=1e-4, rtol=0)
    assert Retriever.load(own_run).collection.ids == found.collection.ids  # it is kept
    build = build_index(RunFolder(own_run))
    assert build.collection.ids == tuple(clip.id for clip in made.clips)


def ranking(query: torch.Tensor, gallery: torch.Tensor, rows: list[int]) -> list[int]:
    scores = gallery.numpy() @ query.numpy()
    return [rows[place] for place in np.argsort(-scores[rows], kind="stable")]


def test_hits_are_the_sorted_inner_products(made, retriever) -> None:
    collection, everything = retriever.collection, list(range(len(made.clips)))
    cases = [
        ({"id": "clip_03"}, collection.audio[3], collection.visual),
        ({"id": "clip_03", "find": "sound"}, collection.visual[3], collection.audio),
        ({"video": made.clips[3].path}, collection.visual[3], collection.audio),
        ({"video": made.clips[3].path, "find": "picture"}, collection.audio[3], collection.visual),
        ({"audio": made.clips[3].path}, collection.audio[3], collection.visual),
    ]
    for arguments, query, gallery in cases:
        hits = retriever.search(**arguments, top=6)
        expected = ranking(query, gallery, everything)[:6]
        scores = (gallery @ query)[expected]
        np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-4)
        if "id" in arguments:  # of files rounding may swap neighbours
            assert [hit.id for hit in hits] == [collection.ids[row] for row in expected]
    assert hits[0] == Hit(
        rank=1,
        id=hits[0].id,
        score=hits[0].score,
        label=collection.labels[retriever.row(hits[0].id)],
        split=collection.splits[retriever.row(hits[0].id)],
        path=collection.paths[retriever.row(hits[0].id)],
        start=None,
        end=None,
    )
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5, 6]
    assert len(retriever.search(id="clip_00", top=1000)) == len(made.clips)


def test_filters(made, retriever) -> None:
    collection = retriever.collection
    rows = [
        row
        for row in range(len(collection))
        if collection.labels[row] == "middle" and collection.splits[row] == "train"
    ]
    hits = retriever.search(id="clip_00", label="middle", split="train", top=50)
    expected = ranking(collection.audio[0], collection.visual, rows)
    assert [hit.id for hit in hits] == [collection.ids[row] for row in expected]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, UsageError, "a search needs one query, and there are 0"),
        ({"id": "clip_00", "audio": "a.wav"}, UsageError, "there are 2"),
        ({"audio": "a.wav", "find": "sound"}, UsageError, "an audio query finds pictures"),
        ({"image": "a.png", "find": "picture"}, UsageError, "an image query finds sounds"),
        (
            {"id": "clip_0"},
            NotFoundError,
            "no clip 'clip_0' in the collection; did you mean clip_0",
        ),
        ({"id": "dog"}, NotFoundError, "no clip 'dog' in the collection; one is clip_00"),
        (
            {"id": "clip_00", "label": "midle"},
            NotFoundError,
            "class 'midle' .* did you mean middle",
        ),
        ({"id": "clip_00", "split": "tests"}, NotFoundError, "split 'tests' .* did you mean test"),
        ({"id": "clip_00", "top": 0}, UsageError, "ask for 1 or more"),
    ],
)
def test_searches_that_cannot_be(retriever, arguments, kind, message) -> None:
    with pytest.raises(kind, match=message):
        retriever.search(**arguments)


def test_many_threads_find_the_same(made, retriever) -> None:
    def embedded(number: int) -> torch.Tensor:
        path = made.clips[number % 3].path
        embed = retriever.embed_video_file if number % 2 else retriever.embed_audio_file
        return embed(path)

    alone = [embedded(number) for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(embedded, [0, 1, 2, 1, 0, 3]))
    for number, embedding in zip([0, 1, 2, 1, 0, 3], together, strict=True):
        torch.testing.assert_close(embedding, alone[number], atol=1e-6, rtol=0)


def test_an_index_is_kept_until_weights_or_features_change(made, own_run) -> None:
    folder = RunFolder(own_run)
    first = load_index(folder)
    written = folder.index_file.stat().st_mtime_ns
    again = load_index(folder)
    assert folder.index_file.stat().st_mtime_ns == written
    assert again.origin == first.origin
    assert again.collection.ids == first.collection.ids
    assert again.collection.paths == first.collection.paths
    assert torch.equal(again.collection.audio, first.collection.audio)
    assert torch.equal(again.collection.visual, first.collection.visual)

    best = folder.load("best")
    tensors = {name: tensor * 1.1 for name, tensor in best.tensors.items()}
    folder.save("best", Checkpoint(tensors, best.metadata))
    changed = load_index(folder)
    assert changed.origin.checkpoint != first.origin.checkpoint
    assert not torch.equal(changed.collection.audio, first.collection.audio)
    assert not list(own_run.glob("*.tmp"))


def test_features_that_are_gone_or_have_changed(made, own_run, tmp_path) -> None:
    """With an index the features are not needed; they may not change under it unseen."""
    features = Path(shutil.copy(made.features, tmp_path / "features.h5"))
    config = (own_run / "config.yaml").read_text()
    (own_run / "config.yaml").write_text(config.replace(str(made.features), str(features)))
    (own_run / "index.h5").unlink(missing_ok=True)
    before = load_index(RunFolder(own_run)).collection
    features.unlink()
    found = Retriever.load(own_run)
    assert torch.equal(found.collection.visual, before.visual)
    assert found.search(id="clip_00")
    store(features, made.clips[:9], made.rows[:9])
    with pytest.raises(SetupError, match="has changed since the run was trained"):
        Retriever.load(own_run)


def test_media_that_are_gone_are_still_found(made, own_run, retriever, tmp_path) -> None:
    copies = [replace(clip, path=tmp_path / clip.path.name) for clip in made.clips[:4]]
    for clip, copy in zip(made.clips, copies, strict=False):
        shutil.copy(clip.path, copy.path)
    store(tmp_path / "copies.h5", copies, made.rows[:4])
    for copy in copies:
        copy.path.unlink()
    found = Retriever.load(own_run, features=tmp_path / "copies.h5")
    assert {hit.path for hit in found.search(id="clip_01")} == {copy.path for copy in copies}
    with pytest.raises(ClipError, match="missing"):
        found.search(video=copies[0].path)


def test_queries_go_the_way_of_their_collection(made) -> None:
    """Half a second a frame, key frames alone, and no ReLU after VGGish."""
    networks = replace(NETWORKS, vggish_relu=False)
    sampling = Sampling(frames_per_second=2, key_frames=True)
    provenance = Provenance(networks.describe(sampling), networks.origins(), "PyAV")
    query = QueryExtractor(made.features, provenance, None, torch.device("cpu"))
    clip = made.clips[2]
    media = PyAVDecoder().decode(clip, sampling)
    (expected,) = query.load()[0].extract([media])
    assert expected.visual.shape == (2, 2048)
    np.testing.assert_allclose(
        query.features("video", clip.path), expected.visual.mean(axis=0), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        query.features("audio", clip.path), expected.audio.mean(axis=0), rtol=1e-3, atol=1e-4
    )
    assert expected.audio.min() < 0 <= made.rows[2].audio.min()


@pytest.mark.parametrize("networks", [NETWORKS, Networks(audio_pca=False, precision="bfloat16")])
def test_a_store_tells_its_networks(networks) -> None:
    sampling = Sampling(frames_per_second=0.5, frame_size=None, key_frames=True)
    vggish = "untrained:seed=0" if networks.untrained_audio else "0" * 64
    stored = json.loads(json.dumps(networks.describe(sampling)))
    found, its_sampling = Networks.described(stored, {"vggish": vggish})
    assert its_sampling == sampling
    assert found.describe(sampling) == stored
    assert found.untrained_audio == networks.untrained_audio


def test_other_weights_than_the_stores_are_refused(made) -> None:
    config, origins = NETWORKS.describe(SAMPLING), NETWORKS.origins()
    other = Provenance(config, origins | {NETWORKS.visual: "0" * 64}, "PyAV")
    query = QueryExtractor(made.features, other, None, torch.device("cpu"))
    with pytest.raises(SetupError, match="made with other weights of inception_v3_2015"):
        query.features("video", made.clips[0].path)
    later = Provenance(config | {"invented": 1}, origins, "PyAV")
    query = QueryExtractor(made.features, later, None, torch.device("cpu"))
    with pytest.raises(SetupError, match="made by another version of avcmr"):
        query.features("audio", made.clips[0].path)


def test_published_features_are_searched_by_id_alone(feature_file, tmp_path) -> None:
    features = feature_file()
    train_run(features, tmp_path / "run")
    found = Retriever.load(tmp_path / "run")
    assert set(found.collection.paths) == {NO_FILE}
    hits = found.search(id=found.collection.ids[5], find="sound", top=3)
    assert [hit.path for hit in hits] == [NO_FILE] * 3
    with pytest.raises(SetupError, match="search with --id"):
        found.search(audio="a.wav")
    result = CliRunner().invoke(
        app, ["search", str(tmp_path / "run"), "--id", found.collection.ids[5], "--json"]
    )
    assert [hit["path"] for hit in json.loads(result.stdout)] == [None] * 10


def test_other_features_have_to_be_of_the_same_networks(made, own_run, feature_file) -> None:
    folder, other = RunFolder(own_run), own_run / "other.h5"
    with_relu = replace(NETWORKS, vggish_relu=False)
    store(other, made.clips[:2], made.rows[:2], networks=with_relu)
    with pytest.raises(SetupError, match=r"by other networks .* extract its clips again"):
        build_index(folder, other)
    with pytest.raises(SetupError, match="avcmr features import"):
        build_index(folder, feature_file())
    with pytest.raises(NotFoundError, match="no feature store at"):
        build_index(folder, own_run / "gone.h5")


def rows_of(draw: np.random.Generator, source: Path) -> ClipFeatures:
    """Four seconds, and as many numbers as the networks make."""
    from preprocessing.media.types import Source

    return ClipFeatures(
        visual=draw.random((4, 2048), np.float32),
        visual_times=np.arange(4) + 0.5,
        audio=draw.random((4, 128), np.float32),
        audio_times=0.96 * np.arange(4) + 0.48,
        duration=4.0,
        source=Source(1, 1),
    )


@pytest.mark.parametrize("unit", ["second", "event"])
def test_shorter_units_tell_their_seconds_of_the_file(tmp_path, unit) -> None:
    draw = np.random.default_rng(0)
    clips = [
        Clip(
            f"{number:02d}",
            tmp_path / f"{number:02d}.mp4",  # clips of one file would be in one split
            f"class {number % 2}",
            start=start,
            end=end,
        )
        for number in range(20)
        for start, end in [(100.0 + 4 * number, 104.0 + 4 * number) if number % 3 else (None, None)]
    ]
    clips = [
        replace(clip, event_start=1.0, event_end=2.5) if number % 4 else clip
        for number, clip in enumerate(clips)
    ]
    with FeatureWriter(tmp_path / "features.h5", Provenance({}, {}, "fake")) as writer:
        for clip in clips:
            writer.add(clip, rows_of(draw, clip.path))
        writer.finish(clips)
    run = train_run(tmp_path / "features.h5", tmp_path / "run", f"data.unit={unit}")
    collection = load_index(run).collection
    expected: dict[str, tuple[float, float]] = {}
    for clip in clips:
        start = clip.start or 0.0
        if unit == "second":
            for second in range(4):
                expected[f"{clip.id}@{second + 0.5:g}"] = (start + second, start + second + 1)
        elif clip.event_start is not None:
            expected[clip.id] = (start + 1, start + 2.5)
        else:
            expected[clip.id] = (clip.start or np.nan, clip.end or np.nan)
    assert set(collection.ids) == set(expected)
    spans = np.stack([collection.starts, collection.ends], axis=1)
    np.testing.assert_allclose(spans, [expected[id_] for id_ in collection.ids])
    assert len(collection.ids) == len(FeatureStore(tmp_path / "features.h5")) * (
        4 if unit == "second" else 1
    )


@pytest.mark.parametrize("kind", ["audio", "video", "image"])
def test_damaged_files_are_clip_errors_or_searched(made, retriever, tmp_path, kind) -> None:
    clip, draw = made.clips[0], np.random.default_rng(0)
    path = tmp_path / {"audio": "a.flac", "video": "a.mp4", "image": "a.png"}[kind]
    if kind == "audio":
        sound = decode_waveform(clip, SAMPLING)[None]
        write_clip(path, None, 1, sound, 16_000, audio_codec="flac")
    elif kind == "video":
        shutil.copy(clip.path, path)
    else:
        Image.fromarray(decode_frames(clip, SAMPLING)[0]).resize((32, 32)).save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    outcomes = []
    for _ in range(12):
        damaged = whole.copy()
        places = draw.integers(0, len(damaged), 1 + len(damaged) // 50)
        damaged[places] = draw.integers(0, 256, len(places))
        path.write_bytes(damaged[: draw.integers(len(damaged) // 2, len(damaged))].tobytes())
        try:
            outcomes.append(len(retriever.search(**{kind: path}, top=2)))
        except ClipError as error:
            assert str(path) in error.message
            outcomes.append(error.reason)
    assert set(outcomes) - {2}  # some are too damaged


def test_a_run_that_cannot_be_written_to_is_searched(made, own_run, caplog) -> None:
    (own_run / "index.h5").unlink(missing_ok=True)
    (own_run / f"index.h5.{os.getpid()}.tmp").mkdir()  # root may write everywhere else
    assert Retriever.load(own_run).search(id="clip_00")
    assert "the index cannot be saved there" in caplog.text


def avcmr(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands(made, own_run, retriever) -> None:
    (own_run / "index.h5").unlink(missing_ok=True)
    code, out, narration = avcmr("index", own_run)
    assert (code, out) == (0, f"{own_run / 'index.h5'}\n")
    assert "12 clips, 3 classes" in narration
    assert "UNTRAINED" in narration
    query = ["search", own_run, "--id", "clip_03", "--top", 4, "--class", CLASSES[0]]
    code, out, narration = avcmr(*query, "--json")
    assert code == 0, narration
    assert "indexing" not in narration
    hits = retriever.search(id="clip_03", top=4, label=CLASSES[0])
    found = json.loads(out)
    assert [hit["id"] for hit in found] == [hit.id for hit in hits]
    assert [hit["path"] for hit in found] == [str(hit.path) for hit in hits]
    assert found[0].keys() == {"rank", "id", "score", "label", "split", "path", "start", "end"}

    (own_run / "index.h5").unlink()
    code, out, narration = avcmr(*query)
    head, *lines = out.splitlines()
    assert head.split() == ["rank", "score", "class", "id", "seconds", "path"]
    assert "indexing" in narration
    assert len(lines) == 4
    for line, hit in zip(lines, hits, strict=True):
        assert str(hit.path) in line.replace("\n", "")
        assert f"{hit.score:.3f}" in line
        assert "low [red]" in line  # square brackets are not taken for markup


def test_the_commands_on_files(made, own_run, retriever, tmp_path) -> None:
    clip = made.clips[1]
    Image.fromarray(decode_frames(clip, SAMPLING)[0]).save(tmp_path / "dog.jpg")
    for options, arguments in (
        (["--audio", clip.path], {"audio": clip.path}),
        (["--video", clip.path], {"video": clip.path}),
        (["--video", clip.path, "--find", "picture"], {"video": clip.path, "find": "picture"}),
        (
            ["--image", tmp_path / "dog.jpg", "--split", "test"],
            {"image": tmp_path / "dog.jpg", "split": "test"},
        ),
    ):
        code, out, narration = avcmr("search", own_run, *options, "--top", 3, "--json")
        assert code == 0, narration
        expected = [(hit.id, pytest.approx(hit.score)) for hit in retriever.search(**arguments)]
        assert [(hit["id"], hit["score"]) for hit in json.loads(out)] == expected[:3]
    store(tmp_path / "new.h5", made.clips[:3], made.rows[:3])
    code, _, narration = avcmr("index", own_run, "--features", tmp_path / "new.h5")
    assert (code, "3 clips" in narration) == (0, True)


def test_commands_that_cannot_be(made, own_run, tmp_path) -> None:
    silent = tmp_path / "silent.wav"
    write_clip(silent, None, 1, np.zeros((1, 32_000), np.float32), 16_000, audio_codec="pcm_s16le")
    (tmp_path / "index.h5").write_bytes(b"no index")
    broken = Path(shutil.copytree(own_run, tmp_path / "broken"))
    (broken / "index.h5").write_bytes(b"no index")
    unfinished = Path(shutil.copytree(own_run, tmp_path / "unfinished"))
    (unfinished / "index.h5").unlink(missing_ok=True)
    last = RunFolder(unfinished).load("last")
    curriculum = last.metadata["curriculum"] | {"finished": False}
    metadata = last.metadata | {"curriculum": curriculum}
    RunFolder(unfinished).save("last", Checkpoint(last.tensors, metadata))
    for arguments, message in (
        (["search", tmp_path, "--id", "x"], "not a run folder"),
        (["index", tmp_path], "not a run folder"),
        (["search", broken, "--id", "x"], "not an index of avcmr"),
        (["search", unfinished, "--id", "x"], "its training is not finished"),
        (["search", own_run, "--audio", silent], "the sound track is silent throughout"),
        (["search", own_run, "--audio", tmp_path / "gone.wav"], "gone.wav: No such file"),
        (["search", own_run, "--image", silent], "not a JPEG, PNG or WebP picture"),
        (["search", own_run], "a search needs one query"),
        (["search", own_run, "--id", "clip_0"], "did you mean"),
    ):
        code, out, narration = avcmr(*arguments)
        assert (code, out) == (2, "")
        assert message in narration
        assert "Traceback" not in narration


@pytest.mark.parametrize("damage", ["format", "id", "origin", "audio"])
def test_damaged_indexes_are_told(made, own_run, damage) -> None:
    load_index(RunFolder(own_run))
    with h5py.File(own_run / "index.h5", "a") as file:
        if damage == "origin":
            file.attrs["origin"] = "{}"
        elif damage == "audio":
            del file["audio"]
            file["audio"] = np.zeros((3, 4), np.float32)
        elif damage == "id":
            del file["id"]
        else:
            file.attrs["format"] = "something else"
    with pytest.raises(SetupError, match="not an index of avcmr"):
        read_origin(own_run / "index.h5")
        read_collection(own_run / "index.h5")


def test_importing_the_packages_does_not_import_torch() -> None:
    program = (
        "import sys, avcmr, preprocessing\n"
        "assert {'torch', 'numpy'}.isdisjoint(sys.modules)\n"
        "assert 'Retriever' in dir(avcmr) and 'extract_clip' in dir(preprocessing)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def test_extract_clip_is_what_the_store_holds(made) -> None:
    features = extract_clip(made.clips[1].path, networks=NETWORKS)
    with FeatureStore(made.features) as stored:
        expected = stored.clip(1)
    np.testing.assert_array_equal(features.visual, expected.visual)
    np.testing.assert_array_equal(features.audio, expected.audio)
    assert features.duration == expected.duration
    part = extract_clip(str(made.clips[1].path), start=0.1, end=1.1, networks=NETWORKS)
    assert part.duration == pytest.approx(1.0)


def test_the_examples_of_the_page_run(made, own_run, tmp_path, monkeypatch, capsys) -> None:
    page = (Path(__file__).parents[3] / "docs" / "library.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    (tmp_path / "runs").mkdir()
    own_run.rename(tmp_path / "runs" / "features")
    shutil.copy(made.features, tmp_path / "features.h5")
    clip = made.clips[0]
    shutil.copy(clip.path, tmp_path / "clip.mp4")
    for name, sound in (
        ("bark.wav", decode_waveform(clip, SAMPLING)),
        ("silent.wav", np.zeros(32_000, np.float32)),
    ):
        write_clip(tmp_path / name, None, 1, sound[None], 16_000, audio_codec="pcm_s16le")
    Image.fromarray(decode_frames(clip, SAMPLING)[0]).save(tmp_path / "dog.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out
    assert "1 0." in printed
    assert "no_audio" in printed
    assert "no clip 'no such clip'" in printed
    assert names["features"].visual.shape == (2, 2048)
    assert all(hit.split == "test" for hit in names["sounds"])
