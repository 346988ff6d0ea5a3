"""The sounds of the classes: each renders a timeline, with another timbre in every clip."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preprocessing.demo.timeline import Timeline

Waveform = NDArray[np.float64]

Sound = Callable[[Timeline, int, np.random.Generator], Waveform]
"""(timeline, samples per second, rng) → (S,) waveform of any loudness."""


def noise(rng: np.random.Generator, samples: int, rate: int, low: float, high: float) -> Waveform:
    """Noise of variance 1 between two frequencies, fading outside them."""
    # Lengths that are powers of two transform fast; others may be prime.
    spectrum = np.fft.rfft(rng.normal(size=1 << max(samples - 1, 1).bit_length()))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(2 * len(spectrum) - 2, 1 / rate), 1.0))
    outside = np.maximum(np.maximum(math.log2(low) - octaves, octaves - math.log2(high)), 0)
    sound = np.fft.irfft(spectrum * np.exp(-2 * outside**2))[:samples]
    return np.asarray(sound / max(float(sound.std()), 1e-9))


def tone(frequency: Waveform | float, seconds: Waveform, partials: dict[float, float]) -> Waveform:
    """Sine waves at multiples of a frequency, which may change in time: ratio → amplitude."""
    steps = np.diff(seconds, append=2 * seconds[-1] - seconds[-2])
    phase = 2 * math.pi * np.cumsum(np.broadcast_to(frequency, seconds.shape) * steps)
    return np.asarray(sum(level * np.sin(ratio * phase) for ratio, level in partials.items()))


def seconds_of(timeline: Timeline, rate: int) -> Waveform:
    """Time of every sample of a clip, seconds."""
    return np.arange(round(timeline.duration * rate)) / rate


def _on_beats(
    timeline: Timeline, rate: int, hits: list[Waveform], rng: np.random.Generator
) -> Waveform:
    """Play the hits in turn, one per beat, at slightly varying loudness."""
    track = np.zeros(round(timeline.duration * rate))
    for number, beat in enumerate(timeline.beats):
        hit = hits[number % len(hits)] * rng.uniform(0.7, 1.0)
        start = round(beat * rate)
        hit = hit[max(-start, 0) : max(len(track) - start, 0)]
        track[max(start, 0) :][: len(hit)] += hit
    return track


def _breath(timeline: Timeline, rate: int) -> Waveform:
    """Rises to 1 on every beat and falls to -1 between two."""
    passed = np.interp(seconds_of(timeline, rate), timeline.beats, np.arange(len(timeline.beats)))
    return np.cos(2 * math.pi * passed)


def ball(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Thuds: a low note that falls, and a slap."""
    t = np.arange(int(0.4 * rate)) / rate
    note = rng.uniform(110, 220) / timeline.size
    thud = tone(note * (1 + np.exp(-t / 0.03)), t, {1: 1, 2.3: 0.3})
    slap = noise(rng, len(t), rate, 300, 2500)
    return _on_beats(
        timeline, rate, [thud * np.exp(-t / 0.07) + 0.3 * slap * np.exp(-t / 0.015)], rng
    )


def bell(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Strikes with the inharmonic partials of a cast bell, which ring on."""
    t = np.arange(int(2.5 * rate)) / rate
    ratios = {0.5: 0.5, 1: 1, 1.2: 0.7, 1.5: 0.4, 2: 0.8, 2.67: 0.4, 3: 0.3, 4.1: 0.2}
    note, ring = rng.uniform(280, 650) / timeline.size, rng.uniform(0.3, 0.9)
    partials = [
        tone(note * ratio, t, {1: level * rng.uniform(0.5, 1)}) * np.exp(-t * ratio / ring / 2)
        for ratio, level in ratios.items()
    ]
    return _on_beats(timeline, rate, [np.sum(partials, axis=0)], rng)


def bird(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Chirps: two to four quick sweeps a beat."""
    base, sweep = rng.uniform(1800, 3600) / timeline.size, rng.uniform(-0.4, 0.6)
    length = rng.uniform(0.04, 0.09)
    t = np.arange(int(length * rate)) / rate
    bend = base * (1 + sweep * t / length + 0.08 * np.sin(2 * math.pi * 40 * t))
    chirp = tone(bend, t, {1: 1, 2: 0.15}) * np.hanning(len(t))
    song = np.tile(np.pad(chirp, (0, len(chirp) // 3)), int(rng.integers(2, 5)))
    return _on_beats(timeline, rate, [song], rng)


def clock(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Tick and tock: two short clicks of different wood."""
    t = np.arange(int(0.08 * rate)) / rate
    note, ring = rng.uniform(900, 2400) / timeline.size, rng.uniform(0.004, 0.012)
    clicks = [
        (tone(pitch, t, {1: 1, 2.7: 0.6}) + 0.4 * noise(rng, len(t), rate, 1500, 6000))
        * np.exp(-t / ring)
        for pitch in (note, note * rng.uniform(0.7, 0.9))
    ]
    return _on_beats(timeline, rate, clicks, rng)


def drum(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Beats: a note that drops, and the rattle of the snares, louder on every second beat."""
    t = np.arange(int(0.5 * rate)) / rate
    note, decay = rng.uniform(80, 180) / timeline.size, rng.uniform(0.08, 0.16)
    skin = tone(note * (1 + 0.8 * np.exp(-t / 0.02)), t, {1: 1, 1.59: 0.5, 2.14: 0.3})
    snares = noise(rng, len(t), rate, 1200, 5000) * np.exp(-t / 0.07)
    body = skin * np.exp(-t / decay)
    rattle = rng.uniform(0.2, 0.6)
    return _on_beats(
        timeline, rate, [body + 0.3 * rattle * snares, body * 0.7 + rattle * snares], rng
    )


def engine(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """A buzz of many harmonics that stumbles, and a hiss; a faster tempo sounds higher."""
    t = seconds_of(timeline, rate)
    note = 40 / timeline.period / math.sqrt(timeline.size)
    wobble = 1 + 0.03 * np.sin(2 * math.pi * rng.uniform(0.5, 2) * t)
    slope = rng.uniform(0.6, 1.2)
    buzz = tone(
        note * wobble, t, {n: rng.uniform(0.4, 1) / n**slope for n in (0.5, 1, 2, 3, 4, 5, 6, 8)}
    )
    firing = 1 + 0.5 * np.sign(np.sin(2 * math.pi * note / 4 * t))
    return buzz * firing + rng.uniform(0.1, 0.5) * noise(rng, len(t), rate, 80, 900)


def fireworks(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Bangs that rumble and crackle away, each after the whistle of its rocket."""
    t = np.arange(int(1.4 * rate)) / rate
    bang = noise(rng, len(t), rate, 60, rng.uniform(300, 900)) * np.exp(-t / 0.3)
    crackle = noise(rng, len(t), rate, 1500, 6000) * (rng.random(len(t)) < 60 / rate)
    tail = np.convolve(crackle, np.exp(-np.arange(60) / 12), "same") * np.exp(-t / 0.5)
    rise = np.arange(int(0.5 * rate)) / rate
    pitch = rng.uniform(800, 1500) * (1 + 1.2 * rise)
    whistle = rng.uniform(0.05, 0.3) * tone(pitch, rise, {1: 1}) * np.hanning(len(rise))
    rockets = Timeline(timeline.duration, timeline.period, timeline.beats - 0.5, timeline.size)
    hit = np.concatenate([whistle, bang + rng.uniform(0.2, 0.8) * tail])
    return _on_beats(rockets, rate, [hit], rng)


def rain(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """A wide hiss that swells, and drops that patter on it."""
    samples = round(timeline.duration * rate)
    low = rng.uniform(400, 1500)
    hiss = noise(rng, samples, rate, low, low * rng.uniform(3, 8))
    drops = (rng.random(samples) < rng.uniform(20, 120) / rate) * rng.uniform(1, 5, size=samples)
    patter = np.convolve(drops, np.sin(np.arange(90) * 0.4) * np.exp(-np.arange(90) / 20), "same")
    return hiss * (1 + 0.3 * _breath(timeline, rate)) + patter


def siren(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """A wail that sweeps up and down once a beat, or jumps between two notes."""
    t = seconds_of(timeline, rate)
    base, width = rng.uniform(450, 800) / timeline.size, rng.uniform(0.15, 0.4)
    sweep = _breath(timeline, rate)
    if rng.random() < 0.4:
        sweep = np.sign(sweep)
    strength = rng.uniform(0.1, 0.5)
    return tone(base * (1 + width * sweep), t, {1: 1, 2: strength, 3: strength, 5: strength / 3})


def waves(timeline: Timeline, rate: int, rng: np.random.Generator) -> Waveform:
    """Noise that swells and falls back like surf."""
    samples = round(timeline.duration * rate)
    low = rng.uniform(80, 300)
    depths = noise(rng, samples, rate, low, low * 4)
    foam = noise(rng, samples, rate, low * 4, low * rng.uniform(10, 30))
    swell = (1 + _breath(timeline, rate)) / 2
    return depths * (0.25 + swell) + rng.uniform(0.3, 1) * foam * swell**2
