"""Clips on a web server that misbehaves, and in a bucket (moto's S3)."""

import http.server
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from preprocessing import remote
from preprocessing.catalog.folders import scan_folder
from preprocessing.catalog.manifest import read_manifest, write_manifest
from preprocessing.clips import Clip
from preprocessing.errors import ClipError, NotFoundError, SetupError
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.encode import write_clip
from preprocessing.media.outcome import try_decode
from preprocessing.media.types import ClipFeatures, Media
from preprocessing.networks.extract_clip import extract_clip
from preprocessing.remote import Fetched, media_path
from preprocessing.store import FeatureWriter, Provenance
from preprocessing.store.plan import ABSENT, look_up, source_of
from tests.patience import PATIENCE

PROVENANCE = Provenance(config={}, weights={}, decoder="test")


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; what a file's name says about how.

    Attributes:
        asked: path → how often its content was asked for.
        together: if set, content is held back until so many ask for some at once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Answers, directory=str(folder)))
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.together: threading.Barrier | None = None

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answers(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        if self.server.together:
            self.server.together.wait(timeout=PATIENCE)
        if self.path.startswith("/busy") and self.server.asked[self.path] < remote.ATTEMPTS:
            self.send_error(503)
        elif self.path.startswith("/forbidden"):
            self.send_error(403)
        elif self.path.startswith("/cut_off"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        elif self.path.startswith("/endless"):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                return  # the other side has had enough
        else:
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files are fetched to; empty when a test is over."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.01)
    yield folder
    assert list(folder.glob("avcmr-*")) == []


def film(path: Path, seed: int = 0, seconds: int = 2) -> Path:
    draw = np.random.default_rng(seed)
    frames = [draw.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(10 * seconds)]
    sound = draw.normal(0, 0.1, (1, seconds * 16_000)).astype(np.float32)
    write_clip(path, frames, 10, sound, 16_000)
    return path


def remote_clip(url: str) -> Clip:
    return Clip(url.rpartition("/")[2], media_path(url), "label")


def decoded(clip: Clip) -> Media | ClipError:
    with Fetched([clip.path]) as fetched:
        return try_decode(PyAVDecoder(), clip, Sampling(), fetched)


def fault(clip: Clip) -> ClipError:
    error = decoded(clip)
    assert isinstance(error, ClipError)
    return error


@pytest.mark.parametrize("name", ["clip.mp4", "a clip.mp4", "clip.mp4?signature=a/b%2Fc&v=.1"])
def test_from_a_web_server(server: Server, name: str) -> None:
    path = film(server.folder / name.partition("?")[0])
    near = decoded(Clip("near", path, "label"))
    far = decoded(remote_clip(server.url(name)))
    assert isinstance(near, Media) and isinstance(far, Media)
    np.testing.assert_array_equal(far.frames, near.frames)
    np.testing.assert_array_equal(far.waveform, near.waveform)
    assert far.source.size == near.source.size
    assert far.source.mtime == near.source.mtime // 10**9 * 10**9  # HTTP tells whole seconds
    assert source_of(media_path(server.url(name))).mtime == far.source.mtime


def test_a_busy_server_is_asked_again(server: Server) -> None:
    film(server.folder / "busy.mp4")
    assert isinstance(decoded(remote_clip(server.url("busy.mp4"))), Media)
    assert server.asked["/busy.mp4"] == remote.ATTEMPTS


def test_what_is_wrong_is_said_with_the_clips_own_name(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "page.mp4").write_text("<html>Please log in</html>")
    (server.folder / "empty.mp4").touch()
    for name, reason, what, times in (
        ("gone.mp4", "missing", "no such file", 1),
        ("forbidden.mp4", "unreachable", "403", 1),
        ("cut_off.mp4", "unreachable", "ContentLengthError", remote.ATTEMPTS),
        ("page.mp4", "not_media", "not a readable media file", 1),
        ("empty.mp4", "empty", "no bytes", 1),
    ):
        error = fault(remote_clip(server.url(name)))
        assert (error.reason, error.message.startswith(server.url(name))) == (reason, True)
        assert what in error.message
        assert server.asked[f"/{name}"] == times
    monkeypatch.setattr(remote, "MAX_BYTES", 1 << 25)
    assert "larger than 0.0312 GiB" in fault(remote_clip(server.url("endless.mp4"))).message
    server.shutdown()
    server.server_close()
    assert fault(remote_clip(server.url("clip.mp4"))).reason == "unreachable"


def test_clips_of_one_call_are_fetched_side_by_side(server: Server) -> None:
    clips = [remote_clip(server.url(film(server.folder / f"{i}.mp4", i).name)) for i in range(4)]
    server.together = threading.Barrier(4)  # breaks, and so fails, if they come one by one
    with Fetched(clip.path for clip in [*clips, *clips]) as fetched:
        files = [fetched.file(clip.path) for clip in clips]
        assert [file.stat().st_size for file in files] == [
            (server.folder / clip.id).stat().st_size for clip in clips
        ]
    assert server.asked.total() == 4


def test_what_a_killed_process_has_left_is_removed(server: Server, temporary: Path) -> None:
    film(server.folder / "clip.mp4")
    program = (
        "import os, signal, sys\n"
        "from preprocessing.remote import Fetched, media_path\n"
        "path = media_path(sys.argv[1])\n"
        "with Fetched([path]) as fetched:\n"
        "    fetched.file(path)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, server.url("clip.mp4")],
        env={"TMPDIR": str(temporary)},
        check=False,
    )
    (left,) = temporary.iterdir()
    with Fetched([media_path(server.url("clip.mp4"))]) as fetched:
        assert not left.exists()
        assert fetched.file(media_path(server.url("clip.mp4"))).exists()


def test_what_a_plan_knows_of_a_web_server(server: Server, tmp_path: Path) -> None:
    clips = [remote_clip(server.url(film(server.folder / f"{i}.mp4", i).name)) for i in range(3)]
    clips.append(remote_clip(server.url("forbidden.mp4")))
    writer = FeatureWriter(tmp_path / "features.h5", PROVENANCE)
    with writer:
        assert writer.plan(clips).causes == {"new": 4}
        for clip in clips:
            media = decoded(clip)
            if isinstance(media, ClipError):
                writer.fail(clip, media, attempts=1)
            else:
                writer.add(clip, made_of(media))
        writer.finish(clips)
        assert [(one.clip, one.reason) for one in writer.failures(clips)] == [
            (clips[3], "unreachable")
        ]
        plan = writer.plan(clips)
        assert (plan.todo, plan.done, plan.gone) == ((), 3, 0)
        film(server.folder / "1.mp4", seed=9)
        film(server.folder / "forbidden.mp4")
        (server.folder / "2.mp4").unlink()
        plan = writer.plan(clips)
        assert plan.todo == (clips[1], clips[3])  # changed; and there now, at least for HEAD
        assert plan.gone == 1


def made_of(media: Media) -> ClipFeatures:
    rows, times = np.ones((1, 128), np.float32), np.full(1, 0.5)
    return ClipFeatures(rows, times, rows, times, media.duration, media.source)


def test_manifests_may_hold_urls(tmp_path: Path) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(
        "path,label\n"
        "https://example.org/a/b.mp4,x\n"
        "s3://bucket/dogs/c.d.mp4,y\n"
        "gs://bucket/e.mp4,y\n"
        "f/g.mp4,z\n"
    )
    clips = read_manifest(path)
    assert [clip.id for clip in clips] == ["example.org/a/b", "bucket/dogs/c.d", "bucket/e", "f/g"]
    assert [str(clip.path) for clip in clips] == [
        "https://example.org/a/b.mp4",
        "s3://bucket/dogs/c.d.mp4",
        "gs://bucket/e.mp4",
        str(tmp_path / "f/g.mp4"),
    ]
    write_manifest(tmp_path / "again.csv", clips)
    assert read_manifest(tmp_path / "again.csv") == clips
    with pytest.raises(ValueError, match="not been fetched"):
        _ = clips[0].file


@pytest.mark.parametrize("url", ["ftp://host/a.mp4", "simplecache::s3://b/a.mp4", "concat://a"])
def test_other_protocols_are_refused(tmp_path: Path, url: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_text(f"path,label\n{url},x\n")
    with pytest.raises(SetupError, match=r"line 2: .* take one of http://, https://, s3://"):
        read_manifest(path)


def test_nothing_within_reach_stops_at_once(server: Server) -> None:
    clips = [remote_clip(server.url("no.mp4")), remote_clip(server.url("forbidden.mp4"))]
    with pytest.raises(SetupError, match=r"none of the 2 remote files can be reached .*404"):
        look_up(clips)
    film(server.folder / "clip.mp4")
    one_there = look_up([*clips, remote_clip(server.url("clip.mp4"))])
    assert [one_there[clip.id] for clip in clips] == [ABSENT, ABSENT]


def test_what_a_protocol_lacks_is_named() -> None:
    if "adlfs" in sys.modules:
        pytest.skip("adlfs is installed")
    with pytest.raises(SetupError, match="adlfs"):
        look_up([remote_clip("az://container/a.mp4")])
    with pytest.raises(SetupError, match="adlfs"):
        scan_folder(media_path("az://container/raw"))


def test_extract_clip_takes_a_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lengths:
        """Stands in for the networks, which take long to load."""

        def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
            return [made_of(media) for media in clips]

    monkeypatch.setattr("preprocessing.networks.extract_clip._loaded", lambda *_: Lengths())
    film(server.folder / "clip.mp4", seconds=3)
    assert extract_clip(server.url("clip.mp4")).duration == 3.0
    with pytest.raises(ClipError, match=r"gone\.mp4: no such file"):
        extract_clip(server.url("gone.mp4"))


def test_from_a_bucket(bucket: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    for label, name in (("dogs", "a dog"), ("dogs", "more/b"), ("birds", "c")):
        path = film(tmp_path / f"{Path(name).name}.mp4", seed=len(name))
        bucket.put_file(str(path), f"bucket/raw/{label}/{name}.mp4")
    bucket.pipe("bucket/raw/birds/notes.txt", b"no video")
    for hidden in ("birds/.trash/c.mp4", "birds/__MACOSX/c.mp4", "birds/._c.mp4", "@eaDir/c.mp4"):
        bucket.pipe(f"bucket/raw/{hidden}", b"copy")
    scan = scan_folder(media_path("s3://bucket/raw"))
    clips = scan.clips
    assert scan.passed_over == {".txt": 1}
    assert [(clip.id, clip.label) for clip in clips] == [
        ("birds/c", "birds"),
        ("dogs/a dog", "dogs"),
        ("dogs/more/b", "dogs"),
    ]
    assert str(clips[1].path) == "s3://bucket/raw/dogs/a dog.mp4"
    near = decoded(Clip("near", tmp_path / "a dog.mp4", "dogs"))
    far = decoded(clips[1])
    assert isinstance(near, Media) and isinstance(far, Media)
    np.testing.assert_array_equal(far.waveform, near.waveform)
    assert look_up(clips)["dogs/a dog"] == source_of(clips[1].path)
    assert (far.source.size, far.source.mtime) == (near.source.size, source_of(clips[1].path).mtime)
    assert fault(remote_clip("s3://bucket/raw/none.mp4")).reason == "missing"
    with pytest.raises(NotFoundError, match="no such folder"):
        scan_folder(media_path("s3://bucket/none"))


def test_a_bucket_without_credentials(
    bucket: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe("bucket/a.mp4", b"x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(SetupError, match="credentials"):
        look_up([remote_clip("s3://bucket/a.mp4")])
    assert fault(remote_clip("s3://bucket/a.mp4")).reason == "unreachable"
