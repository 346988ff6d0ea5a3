"""The demo's data set: ten classes of synthetic clips, which vary in picture and sound."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocessing.demo import scenes, sounds
from preprocessing.demo.recording import Recording, film, listen
from preprocessing.demo.scenes import Scene
from preprocessing.demo.sounds import Sound
from preprocessing.demo.timeline import draw_timeline
from preprocessing.media.encode import write_clip


@dataclass(frozen=True, slots=True)
class Event:
    """One class of clips: its look, its sound, and the range of the seconds from beat to beat."""

    scene: Scene
    sound: Sound
    period: tuple[float, float]


EVENTS: Mapping[str, Event] = {
    "ball": Event(scenes.ball, sounds.ball, (0.45, 0.9)),
    "bell": Event(scenes.bell, sounds.bell, (0.6, 1.3)),
    "bird": Event(scenes.bird, sounds.bird, (0.5, 1.2)),
    "clock": Event(scenes.clock, sounds.clock, (0.3, 0.8)),
    "drum": Event(scenes.drum, sounds.drum, (0.25, 0.6)),
    "engine": Event(scenes.engine, sounds.engine, (0.4, 1.0)),
    "fireworks": Event(scenes.fireworks, sounds.fireworks, (0.6, 1.2)),
    "rain": Event(scenes.rain, sounds.rain, (0.8, 2.0)),
    "siren": Event(scenes.siren, sounds.siren, (0.5, 1.4)),
    "waves": Event(scenes.waves, sounds.waves, (1.2, 2.4)),
}

DEMO_CLASSES: tuple[str, ...] = tuple(EVENTS)

SIZES = ((192, 144), (256, 144), (144, 192), (240, 240), (160, 120))
_FRAME_RATES = tuple(map(Fraction, ("12", "15", "24", "25", "30000/1001")))
_SAMPLE_RATES = (22_050, 44_100, 48_000)


def write_demo_clips(
    root: Path,
    *,
    clips_per_class: int = 14,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write ``root/CLASS/CLASS_000.mp4`` and so on, one folder per class.

    Existing files are kept; a file gets its name only once it is complete.

    ``progress`` is called with (clips done, clips in total) after each.

    Returns:
        How many clips were written, not counting existing ones.
    """
    wanted = [(label, number) for label in EVENTS for number in range(clips_per_class)]
    written = 0
    for done, (label, number) in enumerate(wanted, start=1):
        path = root / label / f"{label}_{number:03d}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            clip = demo_recording(label, number, seed=seed)
            write_clip(path, clip.frames(), clip.fps, clip.waveform, clip.sample_rate)
            written += 1
        if progress is not None:
            progress(done, len(wanted))
    return written


def demo_recording(label: str, number: int, *, seed: int = 0) -> Recording:
    """Render one clip: its event and two distractors, one in the picture and one in the sound.

    The distractors are events of two other classes, small or quiet, which make the classes harder
    to separate.
    """
    # Seeded by name and not by position in the table, so that a new class changes no other.
    rng = np.random.default_rng([seed, zlib.crc32(label.encode()), number])
    duration = rng.uniform(3.0, 5.0)
    others = [name for name in EVENTS if name != label]
    seen, heard = rng.choice(others, size=2, replace=False)
    timeline, seen_timeline, heard_timeline = (
        draw_timeline(rng, duration=duration, period=EVENTS[name].period)
        for name in (label, seen, heard)
    )
    fps, sample_rate = _FRAME_RATES[rng.integers(5)], int(rng.choice(_SAMPLE_RATES))
    size, channels = SIZES[rng.integers(5)], int(rng.integers(1, 3))
    voices = [
        EVENTS[heard].sound(heard_timeline, sample_rate, rng),
        EVENTS[label].sound(timeline, sample_rate, rng),
    ]
    waveform = listen(voices, rng, sample_rate=sample_rate, channels=channels)
    painters = [EVENTS[seen].scene(seen_timeline, rng), EVENTS[label].scene(timeline, rng)]
    camera_seed = int(rng.integers(2**32))

    def frames() -> Iterator[NDArray[np.uint8]]:
        camera = np.random.default_rng(camera_seed)
        return film(painters, camera, size=size, fps=fps, duration=duration)

    return Recording(frames, fps, waveform, sample_rate)
