"""Faults while ``avcmr extract`` runs: they cost no clip but the faulty, and leave nothing behind.

What :meth:`Run.ends` and ``check`` make sure of after each fault: no process and no shared memory
is left, an error is one line, and every good clip is stored once, with the bits of an undisturbed
run.
"""

import os
import re
import shutil
import signal
import subprocess

import pytest

from preprocessing.store import FeatureStore
from tests.end_to_end.conftest import (
    EXTRACT,
    HELD,
    HOSTILE_EXTRACT,
    OPTIONS,
    check,
    invoke,
    start_held,
)
from tests.patience import PATIENCE, eventually

CLIP_TIMEOUT = "15"
"""Seconds, in which every good clip is decoded, on a machine as busy as it may be."""


def test_kill_of_the_driver_and_a_decoder_that_hangs(
    start, good_clips, undisturbed, hold, tmp_path
) -> None:
    """Nothing that was saved is done again; what was killed does not disturb the next run.

    In that run the clip still hangs its decoder. It is tried twice, and its process is gone in the
    end.
    """
    run, _ = start_held(start, good_clips, hold)
    saved = tmp_path / "out.h5.parts"
    eventually(lambda: any(saved.glob("part-*.h5")), "a part is saved")
    run.process.kill()
    again, _ = start_held(start, good_clips, hold, "--clip-timeout", CLIP_TIMEOUT)
    narration = again.ends(1)
    assert re.search(r"plan: 12 clips: [1-9]\d? done, \d+ to do", narration)
    assert f"{HELD}: decode_timeout: " in narration
    check(tmp_path / "out.h5", undisturbed, {HELD: "decode_timeout"})
    with FeatureStore(tmp_path / "out.h5") as store:
        assert [failure.attempts for failure in store.failures] == [2]
    # Nobody but they themselves can end Ray's agents now, and they look for their GCS for a minute.
    run.ends(-signal.SIGKILL)


def test_kill_of_the_extractors_and_a_decoder(
    start, good_clips, undisturbed, hold, tmp_path
) -> None:
    """All extractors at once, at work or idle; then the decoder that has taken over their clip.

    Before that, a second run on the same store, which is refused.
    """
    run, at_work = start_held(start, good_clips, hold)
    second = invoke("extract", "--videos", good_clips, *OPTIONS, tmp_path / "out.h5")
    assert second.exit_code == 2
    assert f"is being written by process {run.process.pid} on" in second.stderr
    assert second.stderr.count("error: ") == 1

    def with_title(*beginnings: str) -> set[int]:
        titles = run.processes().items()
        return {pid for pid, title in titles if title.strip().startswith(beginnings)}

    eventually(
        lambda: not with_title("ray::ExtractActor.ready", "ray::ExtractActor.__"),
        "all have started",
    )
    extractors = with_title("ray::ExtractActor")
    assert at_work in extractors, run.processes()
    for pid in extractors:
        os.kill(pid, signal.SIGKILL)
    file = hold.with_suffix(".pid")
    eventually(lambda: int(file.read_text()) != at_work, "another has the held clip")
    decoder = int(file.read_text())
    assert decoder in with_title("ray::DecodeActor.decode"), run.processes()
    os.kill(decoder, signal.SIGKILL)
    hold.unlink()
    run.ends(0)
    check(tmp_path / "out.h5", undisturbed)


def test_kill_of_ray_and_a_decoder_that_eats_memory(
    start, good_clips, undisturbed, hold, tmp_path
) -> None:
    """The next run completes the store, but for the clip that then eats memory."""
    run, _ = start_held(start, good_clips, hold)
    run.kill("/raylet ")
    run.kill("/gcs_server ")
    assert re.search(r"Ray's (raylet|gcs_server|gcs_server and raylet) died", run.ends(2))
    hold.unlink()
    again = [*HOSTILE_EXTRACT, "out.h5", "--videos", good_clips]
    narration = start(again, HOSTILE_EAT=HELD).ends(1)
    assert f"{HELD}: out_of_memory: {good_clips / HELD}.mp4: " in narration
    check(tmp_path / "out.h5", undisturbed, {HELD: "out_of_memory"})


def test_source_files_that_vanish(start, good_clips, undisturbed, tmp_path) -> None:
    """They are listed as missing, and done once they are back, though nothing else has changed."""
    videos = tmp_path / "videos"
    shutil.copytree(good_clips, videos)
    run = start([*EXTRACT, "out.h5", "--videos", videos])
    run.says("plan: 12 clips: 0 done, 12 to do")  # so Ray has yet to start
    (videos / "a").rename(tmp_path / "a")
    gone = {clip_id: "missing" for clip_id in undisturbed if clip_id.startswith("a/")}
    assert f"a/0: missing: {videos}/a/0.mp4: No such file" in run.ends(1)
    check(tmp_path / "out.h5", undisturbed, gone)
    (tmp_path / "a").rename(videos / "a")
    again = start([*EXTRACT, "out.h5", "--videos", videos]).ends(0)
    assert "12 clips: 6 done, 6 to do" in again
    check(tmp_path / "out.h5", undisturbed)


def on_a_disk(size: str, commands: str) -> list[str]:
    """Runs shell commands with ``disk`` a disk of this size, which nobody else sees."""
    enter = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        may = subprocess.run(
            [*enter, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("needs unshare, of util-linux")
    if may.returncode:
        pytest.skip(f"may not mount a file system of its own: {may.stderr.decode().strip()}")
    return [*enter, f"mkdir disk; mount -t tmpfs -o size={size} tmpfs disk; {commands}"]


def test_full_disk(start, good_clips, undisturbed, tmp_path) -> None:
    """First there is room for no part, then for parts alone, and then for all."""
    extract = f"{' '.join(map(str, EXTRACT))} disk/out.h5 --videos {good_clips}"
    refused = f"{extract} || [ $? = 2 ]"
    more, enough = (f"mount -o remount,size={size} disk" for size in ("600k", "64m"))
    steps = (refused, more, refused, enough, extract, "mv disk/out.h5 .")
    run = start(on_a_disk("64k", "; ".join(steps)))
    run.process.wait(timeout=PATIENCE)
    first, second, third = run.narration.split("error: ")
    for narration, done in ((first, 0), (second, 0), (third, 12)):
        assert f"plan: 12 clips: {done} done, {12 - done} to do" in narration
    for narration in (second, third):
        assert narration.startswith("no room left to write ")
        assert "disk/out.h5" in narration
        assert "free some space and run the same command again" in narration
    eventually(lambda: not run.processes(), "end of all processes")
    assert run.process.returncode == 0
    assert "Traceback" not in run.narration
    check(tmp_path / "out.h5", undisturbed)


def test_read_only_output(start, good_clips) -> None:
    extract = f"{' '.join(map(str, EXTRACT))} disk/out.h5 --videos {good_clips}"
    narration = start(on_a_disk("1m", f"mount -o remount,ro disk; {extract}")).ends(2)
    assert "error: not allowed to write " in narration
    assert "disk/out.h5" in narration
    assert "change its permissions or choose another --out" in narration
    assert "starting Ray" not in narration
