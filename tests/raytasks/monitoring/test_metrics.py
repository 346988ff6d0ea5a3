"""What an extraction and a training export, read from Ray's own endpoint."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray import cloudpickle

from preprocessing.clips import Clip
from preprocessing.errors import ClipError
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.types import ClipFeatures, Media
from raytasks.cluster import Cluster
from raytasks.monitoring.metrics import (
    Publisher,
    Stopwatch,
    TimedDecoder,
    TimedExtractor,
    TrainingBoard,
)
from raytasks.monitoring.progress import Progress
from raytasks.monitoring.status import Activity, announced
from tests.epochs import EPOCH
from tests.raytasks.monitoring.exported import PREFIX, Reading, reading_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

CONFIGS = Path(__file__).parents[3] / "configs" / "cluster"


class Slow(PyAVDecoder):
    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        time.sleep(0.5)
        raise ClipError("corrupt", "as expected")


class Networks:
    def extract(self, clips: Sequence[Media]) -> Sequence[ClipFeatures]:
        time.sleep(0.25)
        return []


@ray.remote(num_cpus=0)
class Process:
    """Measures itself, like those of an extraction, and lives until its numbers have been read."""

    def decode(self, times: int) -> float:
        """The seconds that it took, with all around what is measured."""
        decoder = TimedDecoder(Slow(), Stopwatch())
        started = time.perf_counter()
        for _ in range(times):
            with suppress(ClipError):
                decoder.decode(Clip("a", Path("a"), ""), Sampling())
        return time.perf_counter() - started

    def extract(self) -> float:
        extractor = TimedExtractor(Networks(), Stopwatch())
        started = time.perf_counter()
        extractor.extract([])
        return time.perf_counter() - started

    def train(self, **epochs: int) -> None:
        for run, epoch in epochs.items():
            TrainingBoard(run).publish({**EPOCH, "epoch": epoch})


def progress(done: int, **reasons: int) -> Progress:
    return Progress(
        done=done,
        reasons=reasons,
        total=20,
        frames=10 * done,
        queues={"decode": 20 - done - sum(reasons.values()), "network": 0, "retry": 1},
        processes={"decoder 1": "idle", "decoder 2": "a/b", "extractor 3": "c and 7 more"},
        seconds=4.0,
    )


def now() -> Reading:
    """This session's reading; empty if nothing runs."""
    return reading_of(Path(ray._private.worker._global_node.get_session_dir_path()))


def eventually(holds: Callable[[Reading], bool]) -> Reading:
    """This session's reading once it holds: Ray's exports lag."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if holds(reading := now()):
            return reading
        time.sleep(0.5)
    raise AssertionError(f"not exported: {now()}")


def test_what_is_measured_is_exported(fresh_cluster: Cluster, monkeypatch) -> None:
    processes = [Process.remote(), Process.remote()]
    announcements: list[Mapping[str, Any]] = []
    publisher = Publisher(announcements.append)
    publisher.publish(progress(3))
    publisher.publish(progress(4))  # too soon
    decoding = sum(ray.get([process.decode.remote(2) for process in processes]))
    network = ray.get(processes[1].extract.remote())
    ray.get(processes[0].train.remote(one=7, other=1))
    ray.get(processes[1].train.remote(one=6))  # as a worker that has died a moment ago
    monkeypatch.setattr(publisher, "_due", 0.0)
    publisher.publish(progress(5, corrupt=2, mute=1))

    def whole(reading: Reading) -> bool:
        decoded = reading.total("decode_seconds_total") or 0.0
        done = reading.by("clips_total", "outcome").get("done")
        network = reading.total("network_seconds_total")
        trained = len([one for one in reading.samples if one.name == PREFIX + "train_epoch"]) == 3
        return decoded >= 2.0 and network is not None and done == 5 and trained

    reading = eventually(whole)
    assert reading.by("clips_total", "outcome") == {"done": 5, "corrupt": 2, "mute": 1}
    assert reading.total("clips_left") == 12 and reading.total("clips_per_second") == 2
    assert reading.total("frames_total") == 50
    assert reading.by("queue_clips", "queue") == {"decode": 12, "network": 0, "retry": 1}
    decoders = reading.only("kind", "decoder").by("processes", "phase")
    assert decoders == {"starting": 0, "idle": 1, "working": 1}
    # Both processes slept twice half a second; on a busy machine all takes longer than that.
    assert 2.0 <= reading.total("decode_seconds_total") <= decoding
    assert 0.25 <= reading.total("network_seconds_total") <= network
    assert reading.by("train_epoch", "run", max) == {"one": 7, "other": 1}
    assert reading.only("run", "one").by("train_val_map", "direction", max) == {
        "audio_to_visual": 0.61,
        "visual_to_audio": 0.59,
    }
    queries = board_queries()
    asked = {name for query in queries for name in metrics_in(query)}
    assert asked == {sample.name for sample in reading.samples}  # all there is, and nothing else
    for query, labels in queries.items():
        for sample in reading.samples:
            if sample.name in metrics_in(query):
                assert labels <= sample.labels.keys(), query

    publisher.publish(progress(16, corrupt=2, mute=1))
    publisher.publish(progress(17, corrupt=2, mute=1))  # soon after, but the end
    ended = eventually(lambda reading: reading.total("clips_left") == 0)
    assert ended.by("clips_total", "outcome")["done"] == 17
    counts = [announcement["done"] for announcement in announcements]
    assert counts[0] == 3 and 5 in counts and counts[-1] == 17


@pytest.mark.slow
def test_a_process_is_seen_until_it_ends_and_then_no_more(cluster: Cluster) -> None:
    """Not just until Ray forgets its gauges, nor for as long as Ray keeps its counters."""
    processes = {run: Process.remote() for run in ("lasting", "ending")}
    for run, process in processes.items():
        ray.get([process.decode.remote(1), process.train.remote(**{run: 7})])
    reading = eventually(
        lambda reading: processes.keys() <= reading.by("train_epoch", "run").keys()
    )
    workers = {
        run: {one.labels["WorkerId"] for one in reading.only("run", run).samples}
        for run in processes
    }
    (lasting,), (ending,) = workers.values()
    eventually(lambda reading: bool(reading.only("WorkerId", ending).total("decode_seconds_total")))
    ray.kill(processes["ending"])
    seen = time.monotonic()
    eventually(lambda reading: not reading.only("WorkerId", ending).samples)
    time.sleep(max(0, seen + 25 - time.monotonic()))  # Ray forgets after 20
    still = now().only("WorkerId", lasting)
    assert still.by("train_epoch", "run") == {"lasting": 7}
    assert still.total("decode_seconds_total") > 0.4


def board_queries() -> dict[str, set[str]]:
    """What the Grafana board asks for, and the labels by which it groups, chooses and names."""
    board = json.loads((CONFIGS / "grafana.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    queries = {}
    for target in targets:
        groups = ",".join(re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", target["expr"]))
        named = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        chosen = re.findall(r"[{,]\s*(\w+)\s*[=!]", target["expr"])
        queries[target["expr"]] = {*re.findall(r"\w+", groups), *named, *chosen}
        assert set(named) <= {*re.findall(r"\w+", groups)}, "summed away"
    return queries


def metrics_in(query: str) -> set[str]:
    return set(re.findall(rf"{PREFIX}\w+", query))


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool, of Prometheus")
def test_prometheus_takes_its_file_and_the_board_s_queries(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": q} for number, q in enumerate(board_queries())]
    file = tmp_path / "rules.yaml"
    for broken in ("", " by ("):
        groups = [
            {"name": "board", "rules": [{**rule, "expr": rule["expr"] + broken} for rule in rules]}
        ]
        file.write_text(yaml.safe_dump({"groups": groups}))
        taken = subprocess.run(
            ["promtool", "check", "rules", file], check=False, capture_output=True
        )
        assert (taken.returncode == 0) == (not broken), taken.stderr
    subprocess.run(["promtool", "check", "config", CONFIGS / "prometheus.yml"], check=True)


@pytest.mark.slow
def test_status_asks_a_cluster_for_what_runs_on_it(cluster: Cluster, alone) -> None:
    """Of the drivers that have joined it, whatever machine they are on."""
    with announced(Activity("training", "far away", EPOCH), on_cluster=True):
        asked = subprocess.run(
            [sys.executable, "-c", "from avcmr.cli import main; main()", "status"],
            env=os.environ
            | {
                "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
                "AVCMR_STATUS_DIR": "/nowhere",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert asked.returncode == 0, asked.stderr
    assert "training of far away" in asked.stdout


def test_prometheus_reads_the_file_that_ray_writes(cluster: Cluster) -> None:
    settings = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    ((listed,),) = (one["files"] for one in job["file_sd_configs"])
    node = ray._private.worker._global_node
    assert Path(listed).parent == Path(node.get_temp_dir_path())
    written = Path(node.get_session_dir_path()) / Path(listed).name
    deadline = time.monotonic() + 60
    while not written.exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert json.loads(written.read_text())[0]["targets"]
