"""Downloads from a server of this machine that breaks off, lies and redirects to nowhere."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from preprocessing.errors import SetupError
from preprocessing.networks.weights import SOURCES, PublishedFile, answers, download_urls, resolve
from preprocessing.networks.weights.download import fetch
from preprocessing.networks.weights.readers import read_npz

CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Server:
    """What a server has, how it behaves, and the ranges that it has been asked for."""

    url: str
    files: dict[str, bytes]
    most_bytes: int = 1 << 30
    takes_ranges: bool = True
    ranges: list[str | None] = field(default_factory=list)

    def source(self, file: str = "weights.npz") -> PublishedFile:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        return PublishedFile(file, sha256, 0.3, "CC0", read_npz, url=f"{self.url}/{file}")


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path.strip("/") in self.state.files else 404)
        self.end_headers()

    def do_GET(self) -> None:
        state = self.state
        asked = self.headers["Range"]
        state.ranges.append(asked)
        content = state.files.get(self.path.strip("/"))
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        start = start if state.takes_ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + state.most_bytes])  # then it hangs up

    @property
    def state(self) -> Server:
        return self.server.state  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("AVCMR_MIRROR", "AVCMR_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    state = Server(f"http://127.0.0.1:{http.server_port}", {"weights.npz": CONTENT})
    http.state = state  # type: ignore[attr-defined]
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield state
    http.shutdown()
    http.server_close()


def _fetch(server: Server, folder: Path) -> bytes:
    path = folder / "weights.npz"
    fetch(server.source(), server.source().url, path)
    assert [file.name for file in folder.glob("weights*")] == [path.name]
    return path.read_bytes()


class TestResuming:
    def test_a_whole_download(self, server: Server, tmp_path: Path) -> None:
        assert _fetch(server, tmp_path) == CONTENT
        assert server.ranges == [None]

    def test_one_that_breaks_off_goes_on(self, server: Server, tmp_path: Path) -> None:
        server.most_bytes = 120_000
        assert _fetch(server, tmp_path) == CONTENT
        assert server.ranges == [None, "bytes=120000-", "bytes=240000-"]

    def test_the_next_call_goes_on(self, server: Server, tmp_path: Path) -> None:
        server.most_bytes = 50_000
        with pytest.raises(ConnectionError, match="broke off after 150,000 of 300,000 bytes"):
            _fetch(server, tmp_path)
        server.most_bytes = 1 << 30
        assert _fetch(server, tmp_path) == CONTENT
        assert server.ranges[-1] == "bytes=150000-"

    def test_no_endless_attempts(self, server: Server, tmp_path: Path) -> None:
        server.most_bytes = 0
        with pytest.raises(ConnectionError):
            _fetch(server, tmp_path)
        assert server.ranges == [None]

    def test_a_server_without_ranges_starts_again(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "weights.npz.part").write_bytes(b"something old")
        server.takes_ranges = False
        assert _fetch(server, tmp_path) == CONTENT
        assert server.ranges == ["bytes=13-"]

    def test_all_was_there_but_the_rename(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "weights.npz.part").write_bytes(CONTENT)
        assert _fetch(server, tmp_path) == CONTENT

    def test_the_rest_of_another_file(self, server: Server, tmp_path: Path) -> None:
        """What does not fit together is refused and thrown away; then it works."""
        (tmp_path / "weights.npz.part").write_bytes(b"something old")
        with pytest.raises(SetupError, match=f"{server.url}/weights.npz is not the published"):
            _fetch(server, tmp_path)
        assert _fetch(server, tmp_path) == CONTENT

    def test_a_page_to_log_in(self, server: Server, tmp_path: Path) -> None:
        server.files["weights.npz"] = b"<html>log in</html>"
        with pytest.raises(SetupError, match="sha256 should be"):
            _fetch(server, tmp_path)
        assert not list(tmp_path.glob("weights*"))


class TestMirrors:
    @pytest.fixture(autouse=True)
    def _published_nowhere(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> PublishedFile:
        source = server.source()
        monkeypatch.setitem(SOURCES, "vggish_pca", (source,))
        return source

    def test_order(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        own = server.source().url
        assert download_urls(server.source()) == [own]
        assert download_urls(server.source(), "http://m/x/") == ["http://m/x/weights.npz", own]
        monkeypatch.setenv("AVCMR_MIRROR", "http://n")
        assert download_urls(server.source()) == ["http://n/weights.npz", own]
        assert download_urls(server.source(), "http://m") == ["http://m/weights.npz", own]

    def test_a_mirror_is_asked_first(self, server: Server) -> None:
        server.files = {"mirror/weights.npz": CONTENT}
        found = resolve("vggish_pca", mirror=f"{server.url}/mirror")
        assert found.path.read_bytes() == CONTENT
        assert len(server.ranges) == 1

    @pytest.mark.parametrize("wrong", [None, b"something else"])
    def test_a_mirror_without_the_file_or_with_another(
        self, server: Server, wrong: bytes | None
    ) -> None:
        if wrong:
            server.files["mirror/weights.npz"] = wrong
        assert resolve("vggish_pca", mirror=f"{server.url}/mirror").path.read_bytes() == CONTENT

    def test_all_that_was_tried_is_told(self, server: Server) -> None:
        server.files = {"mirror/weights.npz": b"something else"}
        with pytest.raises(SetupError) as caught:
            resolve("vggish_pca", mirror=f"{server.url}/mirror")
        for part in (f"{server.url}/mirror/weights.npz (", "is not the published", "404"):
            assert part in str(caught.value)

    def test_no_url_at_all(self, server: Server) -> None:
        assert resolve("vggish_pca", mirror="no url").path.read_bytes() == CONTENT


def test_answers(server: Server) -> None:
    assert answers(f"{server.url}/weights.npz")
    assert not answers(f"{server.url}/other")
    assert not answers("http://127.0.0.1:1/weights.npz")
    assert not answers("no url")
