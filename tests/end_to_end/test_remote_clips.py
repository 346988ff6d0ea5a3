"""``avcmr extract`` of a bucket (moto's S3), from scanning it to the stored features."""

import logging
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from preprocessing import extract_clip
from preprocessing.extractor import Networks
from preprocessing.store import FeatureStore

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(
    good_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[fsspec.AbstractFileSystem]:
    """``s3://bucket/raw``, with four of the good clips."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.makedirs("bucket", exist_ok=True)
    for id_ in ("a/0", "b/1", "a/2", "b/3"):
        files.put_file(str(good_clips / f"{id_}.mp4"), f"bucket/raw/{id_}.mp4")
    yield files
    server.stop()


def test_a_bucket_gives_the_features_of_a_folder(bucket, kit, start, good_clips, tmp_path) -> None:
    bucket.pipe("bucket/raw/b/bad.mp4", b"no video")
    extract = [*kit.extract, "out.h5", "--videos", "s3://bucket/raw"]
    narration = start(extract).ends(1)
    assert "b/bad: not_media: s3://bucket/raw/b/bad.mp4: " in narration
    bucket.rm("bucket/raw/b/bad.mp4")
    assert "plan: 4 clips: 4 done, 0 to do" in start(extract).ends(0)
    with FeatureStore(tmp_path / "out.h5") as store:
        found = kit.values(store)
    assert found.keys() == {"a/0", "b/1", "a/2", "b/3"}
    networks = Networks(untrained_audio=True)
    for id_, (visual, _, audio, _) in found.items():
        here = extract_clip(good_clips / f"{id_}.mp4", networks=networks)
        np.testing.assert_allclose(visual, here.visual, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(audio, here.audio, rtol=1e-5, atol=1e-5)
