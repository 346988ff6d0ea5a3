"""Every benchmark runs, small, and prints what it is for: a ratio to a rival or a limit."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing.media.encode import write_clip
from tests.patience import PATIENCE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

PROGRAMS = {
    "decode.py CLIPS --rounds 1": r"avcmr, pyav +[\d.]+ CPU s/clip +[\d.]+ \(",
    "key_frames.py CLIPS": r"key frames are [\d.]+ times faster to decode",
    "networks.py --cores 1 --clips 4 --length 1 --rounds 1": r"avcmr / obvious loop: [\d.]+ \(",
    "plan.py CLIPS --count 1": r"AVE +│ 4,143 +│",
    "scale.py --clips 400": r"through Ray: \d+ clips/s, [\d.]+ of the plain loop",
}
"""Command → what it must print. What is left out needs minutes even when it is small."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for number in range(2):
        frames = [np.roll(picture, shift * (number + 1), axis=1) for shift in range(20)]
        sound = rng.normal(0, 0.1, (1, 2 * 16_000)).astype(np.float32)
        write_clip(folder / f"{number}.mp4", frames, 10, sound, 16_000)
    return folder


@pytest.mark.parametrize("command", PROGRAMS)
def test_benchmark(command: str, clips: Path) -> None:
    program, *arguments = command.replace("CLIPS", str(clips)).split()
    if program == "decode.py" and not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg, the rival")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / program, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PROGRAMS[command], done.stdout), done.stdout


def test_the_table_of_benchmarks_is_complete() -> None:
    table = (BENCHMARKS / "README.md").read_text()
    programs = {path.name for path in BENCHMARKS.glob("*.py") if "def main(" in path.read_text()}
    assert programs == set(re.findall(r"`(\w+\.py)", table))
