"""Log-mel against an independent NumPy computation in float64."""

import math

import numpy as np
import pytest
import torch

from preprocessing.media.types import MIN_SAMPLES
from preprocessing.networks.log_mel import EXAMPLE_SECONDS, example_times, log_mel, vggish_examples

RATE = 16_000


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def _reference_log_mel(waveform: np.ndarray) -> np.ndarray:
    """The published formulas, one window, bin and band at a time."""
    edges = [_mel(125.0) + i * (_mel(7500.0) - _mel(125.0)) / 65 for i in range(66)]
    matrix = np.zeros((257, 64))
    for k in range(1, 257):
        mel = _mel(k * RATE / 512)
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            if low < mel <= centre:
                matrix[k, band] = (mel - low) / (centre - low)
            elif centre < mel < high:
                matrix[k, band] = (high - mel) / (high - centre)
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        magnitudes = np.abs((waveform[start : start + 400].astype(np.float64) * hann) @ fourier)
        rows.append(np.log(magnitudes @ matrix + 0.01))
    return np.array(rows)


NOISE = np.random.default_rng(0).uniform(-1, 1, 5_000)
SINE = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(5_000) / RATE)
SILENCE = np.zeros(5_000)


@pytest.mark.parametrize("signal", [NOISE, SINE, SILENCE], ids=["noise", "sine", "silence"])
def test_log_mel_is_the_published_formula(signal: np.ndarray) -> None:
    waveform = signal.astype(np.float32)
    ours = log_mel(torch.from_numpy(waveform))
    assert ours.shape == (29, 64)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), _reference_log_mel(waveform), atol=1e-6, rtol=1e-6)


def test_silence_is_the_log_of_the_offset() -> None:
    assert torch.allclose(log_mel(torch.zeros(400)), torch.tensor(math.log(0.01)))


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)]
)
def test_frames_only_where_the_window_fits(samples: int, frames: int) -> None:
    assert log_mel(torch.zeros(samples)).shape == (frames, 64)


@pytest.mark.parametrize(
    ("samples", "examples"),
    [
        (0, 0),
        (MIN_SAMPLES - 1, 0),
        (MIN_SAMPLES, 1),
        (MIN_SAMPLES + 15_359, 1),
        (MIN_SAMPLES + 15_360, 2),
        (160_000, 10),
    ],
)
def test_example_count(samples: int, examples: int) -> None:
    assert vggish_examples(torch.zeros(samples)).shape == (examples, 1, 96, 64)


def test_examples_follow_one_another_without_overlap() -> None:
    waveform = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, 40_000)).float()
    frames = log_mel(waveform)
    first, second = vggish_examples(waveform)
    assert torch.equal(first[0], frames[:96])
    assert torch.equal(second[0], frames[96:192])


def test_example_times_are_the_middles() -> None:
    assert EXAMPLE_SECONDS == 0.96
    np.testing.assert_allclose(example_times(3), [0.48, 1.44, 2.40])
    assert example_times(0).shape == (0,)


@pytest.mark.parametrize("bad", [torch.zeros(2, 400), torch.zeros(400, dtype=torch.int16)])
def test_other_waveforms_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"waveform must be \(S,\) floating"):
        log_mel(bad)


@pytest.mark.gpu
def test_a_gpu_computes_the_same(cuda: torch.device) -> None:
    waveform = torch.from_numpy(NOISE).float()
    assert torch.allclose(log_mel(waveform.to(cuda)).cpu(), log_mel(waveform), atol=1e-6)
