"""``avcmr extract`` of a bucket (moto's S3), from scanning it to the stored features."""

import numpy as np

from preprocessing import extract_clip
from preprocessing.networks.extractor import Networks
from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import EXTRACT, OPTIONS, invoke, values


def test_a_bucket_gives_the_features_of_a_folder(bucket, start, good_clips, tmp_path) -> None:
    for id_ in ("a/0", "b/1", "a/2", "b/3"):
        bucket.put_file(str(good_clips / f"{id_}.mp4"), f"bucket/raw/{id_}.mp4")
    bucket.pipe("bucket/raw/b/bad.mp4", b"no video")
    extract = [*EXTRACT, "out.h5", "--videos", "s3://bucket/raw"]
    narration = start(extract).ends(1)
    assert "b/bad: not_media: s3://bucket/raw/b/bad.mp4: " in narration
    bucket.rm("bucket/raw/b/bad.mp4")
    again = invoke("extract", "--videos", "s3://bucket/raw", *OPTIONS, tmp_path / "out.h5")
    assert again.exit_code == 0
    assert "plan: 4 clips: 4 done, 0 to do" in again.stderr
    with FeatureStore(tmp_path / "out.h5") as store:
        found = values(store)
    assert found.keys() == {"a/0", "b/1", "a/2", "b/3"}
    networks = Networks(untrained_audio=True)
    for id_, (visual, _, audio, _) in found.items():
        here = extract_clip(good_clips / f"{id_}.mp4", networks=networks)
        np.testing.assert_allclose(visual, here.visual, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(audio, here.audio, rtol=1e-5, atol=1e-5)
