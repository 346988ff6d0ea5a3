"""Waveform → VGGish's log-mel examples.

The arithmetic is that of the original release (tensorflow/models, research/audioset/vggish:
``mel_features.py`` and the constants of ``vggish_params.py``), in torch and on any device. Like
the original it uses float64: near silence the logarithm amplifies float32's rounding.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.media.types import SAMPLE_RATE

_WINDOW = 400
"""Samples of one analysis window: 25 ms."""

_HOP = 160
"""Samples from one window to the next: 10 ms."""

_FFT_LENGTH = 512
"""The least power of two that holds a window."""

_MEL_BANDS = 64
_MEL_RANGE = (125.0, 7500.0)
"""Hz; lower edge of the first band, upper edge of the last."""

_LOG_OFFSET = 0.01
"""Added before the logarithm, so that silence is log 0.01 and not −∞."""

_EXAMPLE_FRAMES = 96
EXAMPLE_SECONDS = _EXAMPLE_FRAMES * _HOP / SAMPLE_RATE
"""0.96 s from one example to the next; they do not overlap."""


def log_mel(waveform: Tensor) -> Tensor:
    """Log-mel magnitudes of every window that fits wholly in the waveform.

    Args:
        waveform: (S,) float32 mono at 16 kHz, nominally in [-1, 1].

    Returns:
        (F, 64) float32 with F = 1 + ⌊(S - 400) / 160⌋, or 0 where S < 400.
    """
    if waveform.ndim != 1 or not waveform.is_floating_point():
        raise ValueError(
            f"waveform must be (S,) floating, not {tuple(waveform.shape)} {waveform.dtype}"
        )
    if len(waveform) < _WINDOW:
        return torch.zeros(0, _MEL_BANDS, device=waveform.device)
    window, mel_matrix = _constants(waveform.device)
    frames = waveform.double().unfold(0, _WINDOW, _HOP)  # (F, 400)
    # Not torch.stft: that centres a window shorter than the FFT in zeros, where the original
    # puts all zeros after it. rfft's own padding does as the original.
    magnitudes = torch.fft.rfft(frames * window, n=_FFT_LENGTH).abs()  # (F, 257)
    return torch.log(magnitudes @ mel_matrix + _LOG_OFFSET).float()  # (F, 64)


def vggish_examples(waveform: Tensor) -> Tensor:
    """Cut a waveform's log-mel frames into VGGish's inputs; the remainder is dropped.

    Args:
        waveform: (S,) float32 mono at 16 kHz.

    Returns:
        (N, 1, 96, 64) float32; N is 0 where S < 15,600.
    """
    frames = log_mel(waveform)
    count = len(frames) // _EXAMPLE_FRAMES
    return frames[: count * _EXAMPLE_FRAMES].reshape(count, 1, _EXAMPLE_FRAMES, _MEL_BANDS)


def example_times(count: int) -> NDArray[np.float64]:
    """Middle of the 0.96 s that each example covers: 0.48, 1.44, 2.40, … seconds.

    The examples tile the clock in steps of 0.96 s. Each reads 15 ms further, as its last window
    is longer than a hop, so that the samples it reads are centred 7.5 ms after these times.

    Returns:
        (count,) float64 seconds.
    """
    return (np.arange(count, dtype=np.float64) + 0.5) * EXAMPLE_SECONDS


@lru_cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """The window, (400,), and the mel matrix, (257, 64), float64 on ``device``."""
    window = torch.hann_window(_WINDOW, periodic=True, dtype=torch.float64)
    return window.to(device), _mel_matrix().to(device)


def _mel_matrix() -> Tensor:
    """Weights of each FFT bin in each mel band, (257, 64) float64.

    torchaudio's ``melscale_fbanks`` has triangles straight in Hz; the original's are straight in
    mel, which differs by up to 0.0044.
    """
    bins = _mel(torch.linspace(0, SAMPLE_RATE / 2, _FFT_LENGTH // 2 + 1, dtype=torch.float64))
    first, last = _mel(torch.tensor(_MEL_RANGE, dtype=torch.float64)).tolist()
    edges = torch.linspace(first, last, _MEL_BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]  # each (64,)
    rising = (bins[:, None] - lower) / (centre - lower)  # (257, 64)
    falling = (upper - bins[:, None]) / (upper - centre)
    return torch.minimum(rising, falling).clamp(min=0)  # the DC bin, below 125 Hz, is in no band


def _mel(hertz: Tensor) -> Tensor:
    """HTK's mel scale."""
    return 1127.0 * torch.log1p(hertz / 700.0)
