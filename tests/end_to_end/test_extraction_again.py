"""What a second ``avcmr extract`` does: after Ctrl-C, after changes, with other settings."""

import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np

from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import (
    EXTRACT,
    OPTIONS,
    Run,
    check,
    invoke,
    start_held,
    values,
)
from tests.patience import eventually


def test_an_interrupted_extraction_goes_on(start, good_clips, undisturbed, hold, tmp_path) -> None:
    """Ctrl-C: nothing that was finished is done again, nothing is lost or doubled."""
    run, _ = start_held(start, good_clips, hold)  # so that something is left to do

    def told(run: Run) -> int:
        """How many clips it has said are done."""
        numbers = re.findall(r"^extract (\d+)/12", run.narration, re.MULTILINE)
        return int(numbers[-1]) if numbers else 0

    eventually(lambda: told(run) >= 4, "some clips are done")
    run.process.send_signal(signal.SIGINT)
    narration = run.ends(130)
    assert not (tmp_path / "out.h5").exists()
    assert "interrupted; the same command goes on" in narration
    hold.unlink()

    again = start([*EXTRACT, "out.h5", "--videos", good_clips]).ends(0)
    (done_before,) = map(int, re.findall(r"^plan: 12 clips: (\d+) done", again, re.MULTILINE))
    assert told(run) <= done_before < 12
    assert f"clips done   │ {12 - done_before} " in again
    check(tmp_path / "out.h5", undisturbed)


def test_other_settings_make_features_anew(
    start, good_clips, undisturbed, undisturbed_store, tmp_path
) -> None:
    """The plan says so first; and what cannot be made anew is not given up for it."""
    out = tmp_path / "out.h5"
    shutil.copy(undisturbed_store, out)
    for way in ("--fps 2", "--no-vggish-relu", "--precision bfloat16", "--decoder decord"):
        look = invoke(
            *("extract", "--videos", good_clips, *OPTIONS, out, "--dry-run", *way.split())
        )
        assert look.exit_code == 0, look.stderr
        plan = "12 clips: 0 done, 12 to do (12 made with another config, weights or decoder)"
        assert plan in look.stderr, way
    few = tmp_path / "few.csv"
    clips = sorted((good_clips / "a").iterdir())[:3]
    few.write_text("path,label\n" + "".join(f"{path},a\n" for path in clips))
    settings = ("--frames", "key", "--fps", 2, "--precision", "bfloat16")
    extract = ("--manifest", few, *settings, *OPTIONS, out)
    refused = invoke("extract", *extract)
    assert refused.exit_code == 2
    assert "holds features of 12 clips" in refused.stderr
    out.unlink()
    start([EXTRACT[0], "extract", *extract]).ends(0)
    with FeatureStore(out) as store:
        found = values(store)
    assert {Path(clip_id).name for clip_id in found} == {path.stem for path in clips}
    for clip_id, (visual, *_) in found.items():
        once = undisturbed[f"a/{Path(clip_id).name}"][0]
        assert abs(len(visual) - 2 * len(once)) <= 1
        similarity = np.corrcoef(visual.mean(axis=0), once.mean(axis=0))[0, 1]
        assert 0.8 < similarity < 0.999999


def test_the_second_run_has_nothing_to_do_and_a_changed_clip_is_redone(
    start, good_clips, undisturbed_store, tmp_path
) -> None:
    out = tmp_path / "out.h5"
    shutil.copy(undisturbed_store, out)
    again = invoke("extract", "--videos", good_clips, *OPTIONS, out)
    assert again.exit_code == 0
    assert "12 clips: 12 done, 0 to do" in again.stderr
    assert out.read_bytes() == undisturbed_store.read_bytes()

    videos = tmp_path / "videos"
    shutil.copytree(good_clips, videos)
    extract = ("extract", "--videos", videos, *OPTIONS, out)
    os.utime(videos / "a" / "0.mp4")
    (videos / "a" / "broken.mp4").write_bytes(b"not a video")
    look = invoke(*extract, "--dry-run")
    assert "13 clips: 11 done, 2 to do (1 new, 1 changed on disk)" in look.stderr
    assert (look.exit_code, look.stdout) == (0, "")

    stopped = start([EXTRACT[0], *extract, "--fail-fast"])
    narration = stopped.ends(2)
    assert "a/broken: not_media" in narration
    assert "clips failed │" not in narration
    assert stopped.stdout.read_text() == ""

    once = start([EXTRACT[0], *extract]).ends(1)
    assert "1 failed before" in once
    twice = invoke(*extract)
    assert twice.exit_code == 1
    assert "13 clips: 12 done, 0 to do, 1 failed before" in twice.stderr
    for told in (once, twice.stderr):
        assert "a/broken: not_media:" in told
    retry = invoke(*extract, "--retry-failed", "--dry-run")
    assert "13 clips: 12 done, 1 to do (1 failed before)" in retry.stderr
