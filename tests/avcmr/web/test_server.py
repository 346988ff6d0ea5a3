"""The server over HTTP: what it answers, and above all what it refuses."""

import io
import os
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from avcmr.cli import app
from avcmr.cli.serve import LOOPBACK
from avcmr.retrieval.collection import Collection
from avcmr.retrieval.retriever import Retriever
from avcmr.web import create_app, uploads
from avcmr.web.app import MAX_WAITING
from avcmr.web.projection import load_projection
from preprocessing.errors import ClipError, NotFoundError, SetupError, UsageError
from preprocessing.media.previews import PEAKS
from preprocessing.media.process import DecodingProcess
from preprocessing.remote import media_path
from preprocessing.store.storefile import NotAStoreError
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[TestClient]:
    app = create_app(served.retriever, name="made", report=served.report, hosts=LOOPBACK)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


def at(collection: Collection, row: int) -> str:
    """By what a clip's media are asked for."""
    return f"{collection.fingerprint()}/{row}"


def upload(client: TestClient, content: bytes, **headers: str) -> Any:
    return client.post("/api/queries", content=content, headers=headers)


def test_about(client: TestClient) -> None:
    about = client.get("/api/about").json()
    assert about["clips"] == 12
    assert about["classes"] == [{"name": name, "clips": 4} for name in ("high", "low", "middle")]
    assert about["splits"] == [{"name": "test", "clips": 6}, {"name": "train", "clips": 6}]
    assert about["warnings"] == ["made up"]
    assert about["report"] and about["no_uploads"] is None


@pytest.mark.parametrize("find", ["picture", "sound"])
def test_search_by_id_is_the_retrievers(client: TestClient, served: Any, find: Any) -> None:
    id_ = served.retriever.collection.ids[5]
    asked = {"id": id_, "find": find, "top": "6", "split": "test"}
    results = client.get("/api/search", params=asked).json()
    hits = served.retriever.search(id=id_, find=find, top=6, split="test")
    assert [hit["item"]["id"] for hit in results["hits"]] == [hit.id for hit in hits]
    np.testing.assert_allclose([hit["score"] for hit in results["hits"]], [h.score for h in hits])
    assert [hit["same_class"] for hit in results["hits"]] == [hit.label == "middle" for hit in hits]
    assert results["query"]["id"] == id_
    assert [hit["same_class"] for hit in results["hits"][:2]] == [True, True]


def test_clips_are_listed_by_filter_and_page(client: TestClient, served: Any) -> None:
    collection = served.retriever.collection
    page = client.get("/api/clips", params={"label": "low", "limit": 3}).json()
    assert page["total"] == 4
    assert [item["at"] for item in page["items"]] == [at(collection, row) for row in range(3)]
    rest = client.get("/api/clips", params={"label": "low", "limit": 3, "offset": 3}).json()
    assert [item["at"] for item in rest["items"]] == [at(collection, 3)]
    assert (page["items"][1]["start"], page["items"][1]["end"]) == (0.5, 1.5)
    found = client.get("/api/clips", params={"text": "HIGH_1", "split": "test"}).json()
    assert [item["id"] for item in found["items"]] == ["high/high_11"]


def test_uploads_find_their_class(client: TestClient, served: Any) -> None:
    for path, kind, label, finds in (
        (served.sound, "audio", "high", ["picture"]),
        (served.image, "image", "low", ["sound"]),
        (served.clip, "video", "middle", ["picture", "sound"]),
    ):
        answer = upload(client, path.read_bytes())
        assert answer.status_code == 200, answer.text
        query = answer.json()
        assert (query["kind"], query["finds"]) == (kind, finds)
        for find in finds:
            asked = {"query": query["query"], "find": find, "top": "4"}
            results = client.get("/api/search", params=asked).json()
            assert [hit["item"]["label"] for hit in results["hits"]] == [label] * 4
            assert results["query"] is None and results["hits"][0]["same_class"] is None
    assert client.get("/api/search", params={"query": "0" * 64}).status_code == 404


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no media",
        b"\xff\xd8\xff\xe0 a picture that ends",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/x.ts\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    ],
)
def test_what_is_no_media_is_refused_without_naming_files(
    client: TestClient, content: bytes
) -> None:
    answer = upload(client, content)
    assert answer.status_code == 422
    assert answer.json()["reason"] in ("empty", "not_media", "corrupt")
    assert "/" not in answer.json()["detail"].replace("http://", "")


def test_half_a_clip_is_refused(client: TestClient, served: Any) -> None:
    content = served.clip.read_bytes()
    answer = upload(client, content[: len(content) // 2])
    assert answer.status_code == 422 and answer.json()["detail"]


def test_a_silent_clip_still_finds_sounds(client: TestClient, served: Any) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for _ in range(15):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (20, 90, 90)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = upload(client, file.getvalue()).json()
    assert (answer["kind"], answer["finds"]) == ("video", ["sound"])


def test_too_large_is_refused_early_and_late(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    assert upload(client, bytes(1001)).status_code == 413

    def unannounced() -> Iterator[bytes]:
        yield from [bytes(600)] * 2

    assert client.post("/api/queries", content=unannounced()).status_code == 413


def test_too_large_is_refused_before_it_is_sent(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /api/queries HTTP/1.1\r\nHost: {host}\r\nContent-Length: 50000001\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())  # and not one byte of the body
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_slow_upload_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_SECONDS", 0.2)
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /api/queries HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e%2fapp.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/media/../../etc/passwd",
        "/media/%2fetc%2fpasswd",
        "/thumbnails/..%2f0",
        "/report/../config.yaml",
        "/report/metrics.jsonl",
        "/docs",
        "/openapi.json",
    ],
)
def test_paths_lead_nowhere(address: str, path: str) -> None:
    """Sent as they are: clients would straighten them."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = connection.recv(10_000)
    assert answer.split()[1] in (b"404", b"422"), answer
    assert b"root:" not in answer and b"import" not in answer


@pytest.mark.parametrize("what", ["media", "thumbnails", "peaks"])
@pytest.mark.parametrize("row", ["-1", "12", "99999999999999999999", "1.5", "x"])
def test_unknown_rows(client: TestClient, served: Any, what: str, row: str) -> None:
    of = served.retriever.collection.fingerprint()
    assert client.get(f"/{what}/{of}/{row}").status_code in (404, 422)


def test_media_of_one_collection_are_never_taken_for_anothers(
    client: TestClient, served: Any
) -> None:
    """Browsers keep them for a day, and the next run may be served at the same address."""
    collection = served.retriever.collection
    others = replace(collection, paths=collection.paths[::-1])
    retriever = Retriever(others, served.retriever._network, served.retriever._extractor)
    with TestClient(create_app(retriever)) as elsewhere:
        there = elsewhere.get("/api/clips").json()["items"]
        here = client.get("/api/clips").json()["items"]
        assert [item["id"] for item in there] == [item["id"] for item in here]
        for what in ("media", "thumbnails", "peaks"):
            kept = client.get(f"/{what}/{here[0]['at']}")
            assert kept.status_code == 200 and "max-age=86400" in kept.headers["Cache-Control"]
            assert elsewhere.get(f"/{what}/{here[0]['at']}").status_code == 404
            assert elsewhere.get(f"/{what}/{there[0]['at']}").content != kept.content
    assert replace(collection).fingerprint() == collection.fingerprint()
    for other in (
        replace(collection, ids=("another", *collection.ids[1:])),
        replace(collection, starts=collection.starts + 0.25),
    ):
        assert other.fingerprint() != collection.fingerprint()


def test_unknown_names(client: TestClient) -> None:
    for asked in ({"id": "low/low_0"}, {"id": "low/low_00", "label": "lo"}, {"id": "../../etc"}):
        answer = client.get("/api/search", params=asked)
        assert answer.status_code == 404 and answer.json()["detail"].startswith("no clip")
    assert "low/low_00" in client.get("/api/search", params={"id": "low/low_0"}).json()["detail"]
    assert client.get("/api/search").status_code == 400
    for wrong in ({"top": "0"}, {"top": "100000"}, {"find": "smell"}):
        assert client.get("/api/search", params={"id": "low/low_00"} | wrong).status_code == 422


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("two queries"), 400),
        (NotFoundError("no clip 'x'"), 404),
        (SetupError("no weights"), 503),
        (NotAStoreError(Path("features.h5"), "damaged", "extract again"), 503),
        (ClipError("empty", "no bytes"), 422),
    ],
)
def test_every_kind_of_error_has_a_status(
    client: TestClient, served: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(served.retriever, "search", fail)
    answer = client.get("/api/search", params={"id": "low/low_00"})
    assert answer.status_code == status
    message = error.message if isinstance(error, ClipError) else str(error)
    assert answer.json()["detail"] == message


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/about", "/media/0"):
        assert client.get(path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:8000"])
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/about", headers={"Host": host}).status_code == 200


def test_other_sites_are_refused(client: TestClient, served: Any) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/media/0", headers=elsewhere).status_code == 403
    assert client.get("/api/about", headers=elsewhere).status_code == 403
    posted = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.post("/api/queries", content=b"x", headers=posted).status_code == 403
    assert client.get("/", headers=posted).status_code == 200  # a link
    old = {"Origin": "http://evil.example"}  # of browsers that send no more, and on networks
    assert client.post("/api/queries", content=b"x", headers=old).status_code == 403
    own = {"Origin": "http://127.0.0.1:8000"}
    assert client.post("/api/queries", content=b"x", headers=own).status_code == 422
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert client.get("/api/about", headers=own).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/about", "/media/0", "/nowhere", "/page/main.js"])
def test_headers_of_every_answer(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_report_may_run_nothing(client: TestClient) -> None:
    answer = client.get("/report")
    assert "<h1>Made-up results</h1>" in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")
    assert "script" not in answer.headers["Content-Security-Policy"]


def test_clips_of_a_web_server(served: Any) -> None:
    """They are fetched once to be shown, in parts too, and nothing of them stays."""
    collection = served.retriever.collection
    asked: list[str] = []

    class Noted(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    handler = partial(Noted, directory=str(served.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{elsewhere.server_port}"
        urls = [media_path(f"{root}/{path.name}") for path in collection.paths[:-1]]
        paths = (*urls, media_path(f"{root}/gone.mp4"))
        retriever = Retriever(
            replace(collection, paths=paths), served.retriever._network, served.retriever._extractor
        )
        app = create_app(retriever, name="made", report=None, hosts=LOOPBACK)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            third, last = at(retriever.collection, 3), at(retriever.collection, len(paths) - 1)
            for first in (2, 5, 9):
                part = client.get(f"/media/{third}", headers={"range": f"bytes={first}-9"})
                assert part.status_code == 206
                assert part.content == collection.paths[3].read_bytes()[first:10]
            assert client.get(f"/media/{third}").content == collection.paths[3].read_bytes()
            thumbnail = client.get(f"/thumbnails/{third}").content
            assert Image.open(io.BytesIO(thumbnail)).size == (64, 48)
            assert len(client.get(f"/peaks/{third}").json()) == PEAKS
            assert asked.count("/03.mp4") == 1
            for what, status in (("media", 404), ("thumbnails", 422), ("peaks", 422)):
                gone = client.get(f"/{what}/{last}")
                assert gone.status_code == status and "http" not in gone.text
        elsewhere.shutdown()
    assert list(Path(tempfile.gettempdir()).glob(f"avcmr-fetched-{os.getpid()}-*")) == []


def test_media_in_ranges(client: TestClient, served: Any) -> None:
    content = served.retriever.collection.paths[0].read_bytes()
    media = f"/media/{at(served.retriever.collection, 0)}"
    whole = client.get(media)
    assert whole.content == content and whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, expected in (("2-5", content[2:6]), ("100-", content[100:]), ("-7", content[-7:])):
        part = client.get(media, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == expected
    first, end = 2, 5
    part = client.get(media, headers={"Range": f"bytes={first}-{end}"})
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(content)}"
    beyond = client.get(media, headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416
    head = client.head(media)
    assert head.content == b"" and head.headers["Content-Length"] == str(len(content))


def test_previews(client: TestClient, served: Any) -> None:
    first, second = (at(served.retriever.collection, row) for row in (0, 1))
    picture = client.get(f"/thumbnails/{first}")
    red, green, _ = np.asarray(Image.open(io.BytesIO(picture.content))).mean(axis=(0, 1))
    assert abs(red - 200) < 20 and abs(green - 90) < 20
    peaks = client.get(f"/peaks/{first}").json()
    assert len(peaks) == PEAKS and max(peaks) == 1
    # Two seconds of tones that swell anew every half second; of the cut one second.
    assert sum(np.array(peaks[4:]) < 0.25) in range(6, 30)
    assert peaks[1] < 0.3 and peaks[PEAKS // 8] > 0.8
    cut = client.get(f"/peaks/{second}").json()
    assert cut[1] < 0.4 and cut[PEAKS // 4] > 0.8


def test_media_that_are_gone(served: Any, tmp_path: Path) -> None:
    collection = served.retriever.collection
    missing = tmp_path / "gone.mp4"
    paths = (missing, Path(), *collection.paths[2:])
    retriever = Retriever(
        replace(collection, paths=paths),
        served.retriever._network,
        served.retriever._extractor,
    )
    with TestClient(create_app(retriever)) as client:
        for row in (0, 1):
            clip = at(retriever.collection, row)
            assert client.get(f"/media/{clip}").json()["detail"] == "the clip's file is missing"
            for what in ("thumbnails", "peaks"):
                answer = client.get(f"/{what}/{clip}")
                assert answer.status_code == 422 and str(tmp_path) not in answer.text
        assert client.get("/api/search", params={"id": "low/low_00"}).status_code == 200
        items = client.get("/api/clips").json()["items"]
        assert [item["at"] for item in items if not item["media"]] == [clip]


def test_clips_of_no_known_class_are_neither_right_nor_wrong(served: Any) -> None:
    collection = served.retriever.collection
    labels = ("", "", *collection.labels[2:])
    retriever = Retriever(
        replace(collection, labels=labels), served.retriever._network, served.retriever._extractor
    )
    with TestClient(create_app(retriever)) as client:
        for id_, known in (("low/low_00", set()), ("low/low_02", {True, False})):
            hits = client.get("/api/search", params={"id": id_}).json()["hits"]
            assert {hit["same_class"] for hit in hits if hit["item"]["label"]} == (known or {None})
            assert {hit["same_class"] for hit in hits if not hit["item"]["label"]} == {None}


def test_more_uploads_than_may_wait_are_refused(
    client: TestClient, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(path: Path) -> Any:
        go_on.wait(30)
        raise ClipError("corrupt", "as expected")

    monkeypatch.setattr(served.retriever, "embed_image_file", slow)
    image = served.image.read_bytes()
    with ThreadPoolExecutor(MAX_WAITING + 1) as pool:
        answers = [pool.submit(upload, client, image + bytes([n])) for n in range(MAX_WAITING + 1)]
        refused = next(as_completed(answers)).result()
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "5"
        go_on.set()
        assert Counter(answer.result().status_code for answer in answers) == {
            422: MAX_WAITING,
            503: 1,
        }
    assert upload(client, b"no media").status_code == 422  # and now there is room again


def test_without_networks_ids_alone(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SetupError("no weights")

    monkeypatch.setattr(served.retriever, "warm_up", missing)
    with TestClient(create_app(served.retriever)) as client:
        assert client.get("/api/about").json()["no_uploads"] == "no weights"
        answer = upload(client, served.sound.read_bytes())
        assert answer.status_code == 503 and answer.json()["detail"] == "no weights"
        assert client.get("/api/search", params={"id": "low/low_00"}).status_code == 200


def test_the_map_is_made_once(client: TestClient, served: Any, tmp_path: Path) -> None:
    while not (made := client.get("/api/map").json())["ready"]:
        time.sleep(0.05)
    assert [item["id"] for item in made["items"]] == list(served.retriever.collection.ids)
    points = np.array([made["audio"], made["visual"]])
    assert points.shape == (2, 12, 2) and points.min() == 0 and points.max() == 1

    path = tmp_path / "map.h5"
    first = load_projection(served.retriever.collection, path)
    np.testing.assert_allclose(first.audio, points[0], atol=1e-3)
    with h5py.File(path, "r+") as file:
        file["audio"][...] = 0.25
    np.testing.assert_array_equal(load_projection(served.retriever.collection, path).audio, 0.25)
    with h5py.File(path, "r+") as file:
        file.attrs["made_from"] = "others"
    np.testing.assert_array_equal(
        load_projection(served.retriever.collection, path).audio, first.audio
    )


def test_many_at_once_get_their_own_answers(client: TestClient, served: Any) -> None:
    ids = served.retriever.collection.ids * 8

    def best(id_: str) -> str:
        found = client.get("/api/search", params={"id": id_, "find": "picture", "top": "1"}).json()
        return str(found["query"]["id"] + " " + found["hits"][0]["item"]["label"])

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(best, ids)) == [f"{id_} {id_.partition('/')[0]}" for id_ in ids]


@pytest.mark.parametrize(("host", "hosts"), [("127.0.0.1", LOOPBACK), ("0.0.0.0", ("*",))])
def test_serve_command(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, hosts: Any
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        Retriever, "load", lambda *_, **options: made.append(options) or served.retriever
    )
    monkeypatch.setattr(DecodingProcess, "start", lambda _: None)
    monkeypatch.setattr(
        uvicorn.Server, "run", lambda server, sockets: made.append((server, sockets))
    )
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run = ["serve", str(tmp_path), "--host", host]
    result = CliRunner().invoke(app, [*run, "--port", "0", "--open"])
    assert result.exit_code == 0, result.stderr
    assert opened == result.stdout.splitlines()
    (options, (server, [listening])) = made
    assert isinstance(options["decoding"], DecodingProcess) and options["max_seconds"] == 120
    port = listening.getsockname()[1]
    assert listening.getsockname()[0] == host
    assert result.stdout == f"http://127.0.0.1:{port}/\n"
    assert ("everybody" in result.stderr) == (hosts == ("*",))
    with TestClient(server.config.app, base_url="http://elsewhere") as client:
        assert client.get("/api/about").status_code == (200 if hosts == ("*",) else 400)
    taken = CliRunner().invoke(app, [*run, "--port", str(port)])
    listening.close()
    assert taken.exit_code == 2 and f"{host}:{port} cannot be listened on" in taken.stderr
