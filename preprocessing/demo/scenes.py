"""The pictures of the classes: each scene turns a timeline into a painter of any moment."""

import math
from collections.abc import Callable

import numpy as np

from preprocessing.demo.canvas import BLACK, WHITE, Canvas, colour, ring, shade
from preprocessing.demo.timeline import Timeline

Painter = Callable[[Canvas, float], None]
"""Paints what a scene shows at a given second."""

Scene = Callable[[Timeline, np.random.Generator], Painter]
"""Draws what is constant in a clip (colours, proportions) and returns its painter."""


def ball(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """A ball that bounces; it lands on the beats."""
    skin, floor = colour(rng, 0.05, 0.3), colour(rng, saturation=(0.1, 0.6), value=(0.2, 0.6))
    radius = 0.26 * timeline.size
    height = rng.uniform(0.8, 1.2) * min(timeline.period / 0.6, 1.2)
    drift, spin = rng.uniform(-0.15, 0.15), rng.uniform(-4, 4)

    def paint(canvas: Canvas, t: float) -> None:
        phase = timeline.between_beats(t)
        above = 4 * phase * (1 - phase) * height
        squash = 1 - 0.25 * max(0.0, 1 - above / 0.1)
        x, y = drift * (t - timeline.duration / 2), 0.7 - radius * squash - above
        canvas.polygon([(-9, 0.66), (9, 0.66), (9, 9), (-9, 9)], floor)
        canvas.ellipse(x, 0.72, radius * (1.2 - 0.5 * above), 0.05, shade(floor, 0.5), 0.8)
        canvas.ellipse(x, y, radius / squash, radius * squash, skin)
        spinning = canvas.moved(x, y, turn=spin * t)
        spinning.line(ring(radius * 0.9, radius * 0.35), shade(skin, 0.5), 0.03)
        canvas.disc(x - radius * 0.35, y - radius * 0.4, radius * 0.2, WHITE, 0.6)

    return paint


def bell(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """A bell that swings; its clapper strikes on the beats."""
    metal, wood = colour(rng, 0.12, 0.12), colour(rng, 0.07, 0.1, value=(0.2, 0.5))
    swing, flare = rng.uniform(0.35, 0.7), rng.uniform(0.1, 0.3)
    down = np.linspace(0, 1, 12)
    side = np.column_stack([0.15 + 0.22 * np.sqrt(down) + flare * down**4, down])
    outline = np.concatenate([side, side[::-1] * (-1, 1)])

    def paint(canvas: Canvas, t: float) -> None:
        way = 1 if timeline.beat_number(t) % 2 else -1
        angle = way * swing * math.cos(math.pi * timeline.between_beats(t))
        hung = canvas.moved(0, -0.55, zoom=timeline.size, turn=angle)
        hung.line([(0, 0.2), (0.2 * way, 1.1)], shade(wood, 0.6), 0.05)
        hung.disc(0.2 * way, 1.1, 0.11, shade(wood, 0.6))
        hung.polygon(outline, metal)
        hung.line([(-0.12, 0.15), (-0.24, 0.75)], shade(metal, 1.5), 0.07, 0.7)
        hung.line([side[-1], side[-1] * (-1, 1)], shade(metal, 0.6), 0.07)
        hung.line([side[8], side[8] * (-1, 1)], shade(metal, 0.8), 0.03)
        canvas.line([(-0.6, -0.58), (0.6, -0.58)], wood, 0.12)

    return paint


def bird(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """One to three birds that flap across the sky; their beaks open on the beats."""
    flock = [
        (rng.uniform(-0.9, 0.9), rng.uniform(-0.6, 0.5), rng.uniform(0.4, 0.65), colour(rng))
        for _ in range(rng.integers(1, 4))
    ]
    leftwards = bool(rng.integers(2))
    speed = rng.uniform(0.15, 0.5) * (-1 if leftwards else 1)
    flaps = rng.uniform(2.5, 5)

    def paint(canvas: Canvas, t: float) -> None:
        gape = 0.12 if timeline.since_beat(t) < 0.25 else 0.03
        for number, (start, height, size, plumage) in enumerate(flock):
            x, y = (start + speed * t + 1.6) % 3.2 - 1.6, height + 0.05 * math.sin(3 * t + number)
            wing = math.sin(2 * math.pi * flaps * t + number)
            body = canvas.moved(x, y, zoom=size * timeline.size, mirrored=leftwards)
            body.polygon([(-0.2, 0.05), (0.2, -0.05), (-0.15, -wing)], shade(plumage, 0.6))
            body.polygon([(-0.4, 0), (-0.8, -0.15), (-0.8, 0.15)], shade(plumage, 0.8))
            body.ellipse(0, 0, 0.5, 0.2, plumage)
            body.polygon([(-0.2, 0), (0.25, 0), (-0.1, -wing * 0.9)], shade(plumage, 1.3))
            body.disc(0.5, -0.1, 0.18, plumage)
            body.polygon([(0.64, -0.16), (0.95, -0.1 - gape), (0.7, -0.08)], (250, 170, 30))
            body.polygon([(0.64, -0.04), (0.95, -0.1 + gape), (0.7, -0.08)], (240, 140, 20))
            body.disc(0.55, -0.13, 0.04, BLACK)

    return paint


def clock(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """A clock whose hand steps on the beats."""
    rim, face = colour(rng), colour(rng, saturation=(0.0, 0.25), value=(0.8, 1.0))
    corners = int(rng.choice([4, 6, 8, 36]))
    hour, first = rng.uniform(0, 2 * math.pi), int(rng.integers(12))
    radius = 0.75 * timeline.size

    def paint(canvas: Canvas, t: float) -> None:
        dial = canvas.moved(0, 0, zoom=radius)
        dial.polygon(ring(1.15, 1.15, corners), rim)
        dial.polygon(ring(1, 1, corners), face)
        for mark in range(12):
            ray = dial.moved(0, 0, turn=mark * math.pi / 6)
            ray.line([(0, -0.8), (0, -0.9 if mark % 3 else -0.7)], BLACK, 0.05)
        recoil = 0.06 * math.exp(-timeline.since_beat(t) / 0.05)
        step = (first + timeline.beat_number(t) + recoil) * math.pi / 6
        dial.moved(0, 0, turn=hour).line([(0, 0.1), (0, -0.45)], BLACK, 0.1)
        dial.moved(0, 0, turn=step).line([(0, 0.15), (0, -0.75)], shade(rim, 0.7), 0.06)
        dial.disc(0, 0, 0.08, shade(rim, 0.5))

    return paint


def drum(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """A drum; its two sticks take turns to strike it on the beats."""
    shell, stick = colour(rng), colour(rng, 0.09, 0.05, value=(0.5, 0.9))
    skin = colour(rng, saturation=(0.0, 0.25), value=(0.75, 1.0))
    depth = rng.uniform(0.4, 0.8)
    zigzag = np.column_stack([np.linspace(-0.66, 0.66, 9), 0.1 + depth * (np.arange(9) % 2)])

    def paint(canvas: Canvas, t: float) -> None:
        set_up = canvas.moved(0, 0, zoom=timeline.size)
        set_up.ellipse(0, 0.1 + depth, 0.7, 0.22, shade(shell, 0.7))
        set_up.polygon([(-0.7, 0), (0.7, 0), (0.7, 0.1 + depth), (-0.7, 0.1 + depth)], shell)
        set_up.line(zigzag, shade(shell, 1.7), 0.05)
        blow = math.exp(-timeline.since_beat(t) / 0.08)
        set_up.ellipse(0, 0, 0.74, 0.24, shade(shell, 0.6))
        set_up.ellipse(0, 0.03 * blow, 0.68, 0.2, shade(skin, 1 - 0.25 * blow))
        for side in (0, 1):
            turn = timeline.beat_number(t) % 2 == side
            lifted = 0.9 * (1 - blow) if turn else 0.9 - 0.3 * timeline.between_beats(t)
            grip = set_up.moved(0.9 * (2 * side - 1), -0.45, mirrored=side == 1)
            tip = grip.moved(0, 0, turn=0.55 - lifted)
            tip.line([(0, 0), (0.75, 0)], stick, 0.06)
            tip.disc(0.75, 0, 0.06, shade(stick, 1.2))

    return paint


def engine(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """Two gears that turn in each other and shake; the faster the tempo, the faster they turn."""
    metals = colour(rng, saturation=(0.0, 0.5)), colour(rng, saturation=(0.0, 0.5))
    teeth = int(rng.integers(9, 15))
    speed = rng.choice([-1, 1]) * 1.2 / timeline.period
    profile = 1 + 0.13 * np.tile([-1, 1, 1, -1], teeth)[:, None]
    outline = ring(1, 1, 4 * teeth) * profile

    def paint(canvas: Canvas, t: float) -> None:
        shake = 0.015 * math.sin(40 * t)
        for x, y, radius, metal, way in (
            (-0.3, 0.15, 0.55, metals[0], 1.0),
            (0.53, -0.45, 0.4, metals[1], -0.55 / 0.4),
        ):
            gear = canvas.moved(x, y + shake, zoom=radius * timeline.size, turn=way * speed * t)
            gear.polygon(outline, metal)
            gear.disc(0, 0, 0.68, shade(metal, 0.6))
            for spoke in range(3):
                arm = gear.moved(0, 0, turn=spoke * math.pi / 3)
                arm.line([(-0.7, 0), (0.7, 0)], metal, 0.2)
            gear.disc(0, 0, 0.25, shade(metal, 0.8))
            gear.disc(0, 0, 0.1, BLACK)

    return paint


def fireworks(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """Rockets that burst on the beats, in a sky that they darken."""
    bursts = [
        (rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.1), colour(rng, value=(0.85, 1.0)))
        for _ in timeline.beats
    ]
    sparks = rng.normal(size=(int(rng.integers(40, 80)), 2))
    sparks /= np.maximum(np.hypot(*sparks.T)[:, None], 0.8)
    spread, fall, night = 0.9 * timeline.size, rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.7)

    def paint(canvas: Canvas, t: float) -> None:
        canvas.polygon(ring(9, 9), BLACK, night)
        for beat, (x, y, glow) in zip(timeline.beats, bursts, strict=True):
            age = t - beat
            if -0.5 < age < 0:
                height = y - 3 * age * (1.2 - y)
                canvas.line([(x, height + 0.2), (x, height)], shade(glow, 0.8), 0.03)
            elif 0 <= age < 1.3:
                reach, alpha = spread * (1 - math.exp(-3 * age)), math.sqrt(1 - age / 1.3)
                tips = sparks * reach + (x, y + fall * age**2)
                tails = tips - sparks * 0.2 * alpha
                canvas.lines(np.stack([tails, tips], axis=1), glow, 0.045, alpha)
                canvas.disc(x, y, 0.3 * math.exp(-12 * age), WHITE)

    return paint


def rain(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """Rain from a cloud; it swells with the beats."""
    grey, drop = colour(rng, 0.6, 0.1, saturation=(0.05, 0.3)), colour(rng, 0.58, 0.08)
    drops = rng.uniform((-2, 0, 0.7), (2, 1, 1.3), size=(int(rng.integers(60, 160)), 3))
    slant, fall, length = rng.uniform(-0.3, 0.3), rng.uniform(1.5, 3), rng.uniform(0.08, 0.2)
    puffs = rng.uniform((-0.7, -0.95, 0.2), (0.7, -0.7, 0.4), size=(7, 3)) * (1, 1, timeline.size)

    def paint(canvas: Canvas, t: float) -> None:
        strength = 0.8 + 0.2 * math.cos(2 * math.pi * timeline.between_beats(t))
        x, start, pace = drops[: int(len(drops) * strength)].T
        y = (start + fall * pace * t / 2.2) % 1 * 2.2 - 1.1
        feet = np.column_stack([x + slant * y, y])
        heads = feet - (slant * length, length)
        canvas.lines(np.stack([heads, feet], axis=1), drop, 0.025, 0.8)
        for x, y, radius in puffs:
            canvas.ellipse(x + 0.03 * math.sin(t), y, radius * 1.2, radius * 0.8, grey)

    return paint


def siren(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """A beacon whose red and blue lamps take turns, once a beat."""
    lamps = (
        colour(rng, 0.0, 0.06, saturation=(0.8, 1)),
        colour(rng, 0.62, 0.06, saturation=(0.8, 1)),
    )
    base = colour(rng, saturation=(0.0, 0.3), value=(0.2, 0.6))
    beam = rng.uniform(0.15, 0.4)
    dome = np.concatenate([ring(0.4, 0.55)[18:], [(0.4, 0)]])

    def paint(canvas: Canvas, t: float) -> None:
        lit = timeline.beat_number(t) % 2
        bulb = canvas.moved(0, 0.3, zoom=timeline.size)
        for way in (0, math.pi):
            ray = bulb.moved(0, -0.25, turn=2 * math.pi * timeline.between_beats(t) + way)
            ray.polygon([(0, 0), (3, -3 * beam), (3, 3 * beam)], lamps[lit], 0.45)
        for number, x in enumerate((-0.42, 0.42)):
            lamp = bulb.moved(x, 0)
            lamp.polygon(dome, shade(lamps[number], 1.0 if number == lit else 0.35))
            if number == lit:
                lamp.ellipse(0, -0.25, 0.2, 0.22, WHITE, 0.8)
        bulb.polygon([(-0.95, 0), (0.95, 0), (1.05, 0.28), (-1.05, 0.28)], base)
        bulb.line([(-0.95, 0.04), (0.95, 0.04)], shade(base, 1.6), 0.05)

    return paint


def waves(timeline: Timeline, rng: np.random.Generator) -> Painter:
    """The sea; it rises with the beats."""
    water = colour(rng, 0.54, 0.12)
    level, height = rng.uniform(-0.2, 0.3), rng.uniform(0.08, 0.2) * timeline.size
    length, drift = rng.uniform(2.5, 6), rng.choice([-1, 1]) * rng.uniform(1, 3)
    x = np.linspace(-9, 9, 160)

    def paint(canvas: Canvas, t: float) -> None:
        swell = 0.7 + 0.5 * math.cos(2 * math.pi * timeline.between_beats(t))
        for layer in range(4):
            phase = length * x * (1 - 0.1 * layer) + drift * t * (1 + 0.3 * layer) + 2 * layer
            crest = level + 0.25 * layer - height * swell * (np.sin(phase) + np.sin(2 * phase) / 4)
            surface = np.column_stack([x, crest])
            canvas.polygon([*surface, (9, 9), (-9, 9)], shade(water, 1 - 0.18 * layer))
            canvas.line(surface, WHITE, 0.03, 0.6)

    return paint
