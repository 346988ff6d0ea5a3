"""How a camera and a microphone record an event: everything that varies but is no cue to it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocessing.demo.canvas import Canvas, colour
from preprocessing.demo.scenes import Painter
from preprocessing.demo.sounds import Waveform, noise

_OVERSAMPLING = 2
"""Pictures are drawn this many times larger and shrunk, which smooths their edges."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip before it is encoded.

    Attributes:
        frames: returns an iterator over (H, W, 3) uint8 RGB frames, drawn one by one.
        fps: frames per second.
        waveform: (C, S) float32 in [-1, 1], one or two channels.
        sample_rate: samples per second.
    """

    frames: Callable[[], Iterator[NDArray[np.uint8]]]
    fps: Fraction
    waveform: NDArray[np.float32]
    sample_rate: int


def film(
    painters: Sequence[Painter],
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    fps: Fraction,
    duration: float,
) -> Iterator[NDArray[np.uint8]]:
    """Film an event, the last of ``painters``, in front of smaller distractors."""
    scenery = _backdrop(rng, (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING))
    aside = [
        (
            rng.choice([-1, 1]) * rng.uniform(0.5, 1.0),
            rng.uniform(-0.5, 0.4),
            rng.uniform(0.35, 0.6),
        )
        for _ in painters[:-1]
    ]
    front = (rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2), rng.uniform(0.6, 1.05))
    tilt, shake, pace = rng.uniform(-0.15, 0.15), rng.uniform(0, 0.03), rng.uniform(2, 6)
    gain, lift = rng.uniform(0.6, 1.15), rng.uniform(-25, 25)
    grain = rng.uniform(2, 9) * rng.standard_normal((size[1] + 32, size[0] + 32, 3), np.float32)

    for number in range(round(duration * fps)):
        t = float(number / fps)
        picture = scenery.copy()
        camera = Canvas.over(picture).moved(
            shake * math.sin(pace * t), shake * math.cos(1.3 * pace * t), turn=tilt
        )
        for painter, (x, y, zoom) in zip(painters, [*aside, front], strict=True):
            painter(camera.moved(x, y, zoom=zoom), t)
        light = np.asarray(picture.reduce(_OVERSAMPLING), dtype=np.float32) * gain + lift
        # The same grain at another offset each time costs far less than new grain.
        row, column = rng.integers(32, size=2)
        light += grain[row : row + size[1], column : column + size[0]]
        yield np.clip(light, 0, 255).astype(np.uint8)


def _backdrop(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A wall or a sky: a gradient between two colours, with stripes, spots, or hills."""
    width, height = size
    top, bottom, pattern = (
        colour(rng, saturation=(0.1, 0.7), value=(0.15, 0.95)) for _ in range(3)
    )
    blend = np.linspace(0, 1, height)[:, None, None]
    gradient = np.broadcast_to(
        (1 - blend) * np.array(top) + blend * np.array(bottom), (height, width, 3)
    )
    picture = Image.fromarray(gradient.astype(np.uint8))
    canvas = Canvas.over(picture)
    match rng.integers(4):
        case 0:
            leaning = canvas.moved(0, 0, turn=rng.uniform(0, math.pi))
            for x in np.arange(-2, 2, rng.uniform(0.15, 0.5)):
                leaning.line([(x, -3), (x, 3)], pattern, 0.08, 0.5)
        case 1:
            for x, y, radius in rng.uniform((-1.5, -1.5, 0.02), (1.5, 1.5, 0.25), size=(25, 3)):
                canvas.disc(x, y, radius, pattern, 0.4)
        case 2:
            x = np.linspace(-2, 2, 40)
            ridge = 0.4 + 0.2 * np.sin(x * rng.uniform(1, 4) + rng.uniform(0, 6))
            canvas.polygon([*np.column_stack([x, ridge]), (2, 9), (-2, 9)], pattern, 0.8)
    return picture


def listen(
    voices: Sequence[Waveform], rng: np.random.Generator, *, sample_rate: int, channels: int
) -> NDArray[np.float32]:
    """Record an event, the last of ``voices``, over quieter distractors and background noise.

    Args:
        voices: (S,) each, of any loudness.
        rng: draws the distances, the room and the microphone.
        sample_rate: samples per second.
        channels: 1, or 2 for an event panned to one side.

    Returns:
        (channels, S) in [-1, 1].
    """
    samples = len(voices[-1])
    low = rng.uniform(60, 400)
    mix = _decibels(rng.uniform(-36, -16)) * noise(rng, samples, sample_rate, low, low * 8)
    for voice in voices[:-1]:
        mix += _decibels(rng.uniform(-26, -12)) * _level(voice)
    mix += _level(voices[-1])
    peak = _decibels(rng.uniform(-9, -1)) / float(np.abs(mix).max())
    pan = rng.uniform(0.5, 1.0, size=(channels, 1)) if channels == 2 else np.ones((1, 1))
    return (pan * peak * mix).astype(np.float32)


def _level(voice: Waveform) -> Waveform:
    """Normalize a voice by the 95th percentile of its amplitude."""
    loud = np.quantile(np.abs(voice), 0.95)
    return np.asarray(voice / max(float(loud), 0.1 * float(np.abs(voice).max()), 1e-9))


def _decibels(level: float) -> float:
    return float(10 ** (level / 20))
