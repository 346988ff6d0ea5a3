"""Decoding and networks in one process."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.encode import write_clip
from preprocessing.media.types import ClipFeatures, Media
from preprocessing.networks.extract_clip import DirectExtractor
from preprocessing.networks.extractor import FeatureExtractor
from preprocessing.networks.inception import untrained_inception
from preprocessing.networks.vggish import untrained_vggish


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(request.param)


def test_many_clips_come_back_in_order_bad_ones_as_errors(
    device: torch.device, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    clips = []
    for number in range(6):
        path = tmp_path / f"{number}.mp4"
        frames = [np.full((48, 64, 3), 40 * number, np.uint8) for _ in range(10 + 10 * number)]
        sound = rng.normal(0, 0.1, (1, 16_000 * (1 + number))).astype(np.float32)
        write_clip(path, frames, 10, sound, 16_000)
        clips.append(Clip(str(number), path, "label"))
    clips[2].path.write_bytes(b"not a film")
    clips[4].path.unlink()
    extractor = FeatureExtractor(untrained_inception(0), untrained_vggish(0), None, device)
    direct = DirectExtractor(PyAVDecoder, extractor, Sampling(), device, clips_at_once=3)
    for _ in range(2):  # the threads and their decoders serve again
        outcomes = direct.extract(clips)
        kinds = [item.reason if isinstance(item, ClipError) else None for item in outcomes]
        assert kinds == [None, None, "not_media", None, "missing", None]
        for number in (0, 1, 3, 5):
            (alone,) = extractor.extract([PyAVDecoder().decode(clips[number], Sampling())])
            assert alone.visual.shape == (1 + number, 2048)
            np.testing.assert_allclose(outcomes[number].visual, alone.visual, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(outcomes[number].audio, alone.audio, rtol=1e-3, atol=1e-4)


def test_clips_at_work_are_known_from_begin_to_end(tmp_path: Path) -> None:
    step = threading.Barrier(3)  # two decoders and this test

    class Waiting:
        def decode(self, clip: Clip, sampling: Sampling) -> Media:
            step.wait()
            step.wait()
            raise ClipError("corrupt", f"{clip.path}: as expected")

    class NoNetworks:
        def extract(self, clips: Sequence[Media]) -> list[ClipFeatures]:
            raise AssertionError("no clip comes so far")

    clips = [Clip(name, tmp_path / name, "label") for name in ("a", "b")]
    cpu = torch.device("cpu")
    direct = DirectExtractor(Waiting, NoNetworks(), Sampling(), cpu, clips_at_once=2)
    with ThreadPoolExecutor(1) as thread:
        assert not direct.at_work()
        outcomes = thread.submit(direct.extract, clips)
        step.wait()
        first, second = direct.at_work(), direct.at_work()
        assert {*first} == {*second} == {"a", "b"}
        assert all(0 < first[name] < second[name] for name in first)
        step.wait()
        assert [str(error) for error in outcomes.result()] == [
            f"corrupt: {tmp_path / name}: as expected" for name in ("a", "b")
        ]
        assert not direct.at_work()
