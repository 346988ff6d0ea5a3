"""Equal files against a plain comparison of all bytes with all."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from preprocessing.catalog.contents import contents
from preprocessing.catalog.splits import with_sources
from preprocessing.clips import Clip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files of few sizes and few contents; two of them empty, one a link, one absent."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(30):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(bytes(rng.integers(2, size=rng.integers(1, 5)).tolist()))
        paths.append(path)
    (tmp_path / "alone.mp4").write_bytes(b"x" * 99)
    for name in ("empty.mp4", "empty2.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "link.mp4").symlink_to(paths[0])
    names = ("alone", "empty", "empty2", "link", "none")
    return [*paths, *(tmp_path / f"{name}.mp4" for name in names)]


def test_equal_files_have_one_name(files: list[Path]) -> None:
    progress = []
    clips = [Clip(path.name, path, "a") for path in files]
    content = contents(clips, lambda *done: progress.append(done))
    source_of = {clip.id: clip.source for clip in with_sources(clips, content)}
    for one, other in itertools.combinations(files, 2):
        readable = one.is_file() and other.is_file() and one.stat().st_size > 0
        same = readable and one.read_bytes() == other.read_bytes()
        assert (content[one.name] == content[other.name]) == same, (one, other)
        shared = bool(source_of[one.name]) and source_of[one.name] == source_of[other.name]
        assert shared == same, (one, other)
    assert source_of["alone.mp4"] == ""
    assert progress[-1] == (30, 30)  # neither the file of its own size, nor the empty ones


def test_a_source_is_given_to_copies(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"one content")
    clips = [Clip("1", tmp_path / "a", "x"), Clip("2", tmp_path / "b", "x", source="film")]
    assert [clip.source for clip in with_sources(clips, contents(clips))] == ["film", "film"]
