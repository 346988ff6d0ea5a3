"""What an extraction and a training export, as Ray's own endpoint tells it."""

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ray
import yaml
from ray import cloudpickle
from typer.testing import CliRunner

from avcmr.cli import app
from preprocessing.clips import Clip
from preprocessing.decode import PyAVDecoder, Sampling
from preprocessing.errors import ClipError
from preprocessing.media import ClipFeatures, Media
from raytasks.cluster import Cluster
from raytasks.progress import Progress
from raytasks.status import PREFIX, Reading, readings
from raytasks.telemetry import Publisher, Stopwatch, TimedDecoder, TimedExtractor, TrainingBoard

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

CONFIGS = Path(__file__).parents[2] / "configs" / "cluster"
RECORD = {
    "epoch": 7,
    "stage": 2,
    "loss": 0.25,
    "active_triplets": 0.5,
    "seconds": 1.5,
    "val_map_audio_to_visual": 0.61,
    "val_map_visual_to_audio": 0.59,
}


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

    def decode(self, times: int) -> None:
        decoder = TimedDecoder(Slow(), Stopwatch())
        for _ in range(times):
            try:
                decoder.decode(Clip("a", Path("a"), ""), Sampling())
            except ClipError:
                continue

    def extract(self) -> None:
        TimedExtractor(Networks(), Stopwatch()).extract([])

    def train(self) -> None:
        TrainingBoard("one").publish(RECORD)
        TrainingBoard("other").publish({**RECORD, "epoch": 1})


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


def eventually(holds: Callable[[Reading], bool]) -> Reading:
    """This session's reading once it holds: Ray's exports lag."""
    session = Path(ray._private.worker._global_node.get_session_dir_path()).name
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for reading in readings():
            if reading.session == session and holds(reading):
                return reading
        time.sleep(0.5)
    raise AssertionError(f"not exported: {readings()}")


def test_what_is_measured_is_read_from_any_shell(cluster: Cluster, monkeypatch) -> None:
    processes = [Process.remote(), Process.remote()]
    publisher = Publisher()
    publisher.publish(progress(3))
    publisher.publish(progress(4))  # too soon
    ray.get([process.decode.remote(2) for process in processes])
    ray.get([processes[0].train.remote(), processes[1].extract.remote()])
    monkeypatch.setattr(publisher, "_due", 0.0)
    publisher.publish(progress(5, corrupt=2, mute=1))

    def whole(reading: Reading) -> bool:
        decoded = reading.total("decode_seconds_total") or 0.0
        done = reading.by("clips_total", "outcome").get("done")
        network = reading.total("network_seconds_total")
        trained = "other" in reading.by("train_epoch", "run")
        return decoded > 1.9 and network is not None and done == 5 and trained

    reading = eventually(whole)
    assert reading.by("clips_total", "outcome") == {"done": 5, "corrupt": 2, "mute": 1}
    assert reading.total("clips_left") == 12 and reading.total("clips_per_second") == 2
    assert reading.total("frames_total") == 50
    assert reading.by("queue_clips", "queue") == {"decode": 12, "network": 0, "retry": 1}
    decoders = reading.only("kind", "decoder").by("processes", "phase")
    assert decoders == {"starting": 0, "idle": 1, "working": 1}
    assert 2.0 <= reading.total("decode_seconds_total") < 3.0  # both processes, twice half a second
    assert 0.25 <= reading.total("network_seconds_total") < 0.5
    assert reading.by("train_epoch", "run") == {"one": 7, "other": 1}
    assert reading.only("run", "one").by("train_val_map", "direction") == {
        "audio_to_visual": 0.61,
        "visual_to_audio": 0.59,
    }
    exported = {sample.name for sample in reading.samples}
    assert queried() == exported  # the board shows all there is, and nothing else

    shown = CliRunner().invoke(app, ["status"])
    assert shown.exit_code == 0
    for text in ("clips done", "12, about 6 s", "corrupt", "12 for decode, 1 for retry",
                 "1 idle, 1 working", "training of one", "7, stage 2", "0.610"):  # fmt: skip
        assert text in shown.stdout, shown.stdout


def queried() -> set[str]:
    """The metrics that the Grafana board asks for."""
    board = json.loads((CONFIGS / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert all(query.count("(") == query.count(")") for query in queries)
    return {name for query in queries for name in re.findall(rf"{PREFIX}\w+", query)}


def test_nothing_runs(tmp_path: Path, monkeypatch) -> None:
    """Not where Ray never was, nor where one has ended and its port is closed, or is another's."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    ended = tmp_path / "ray" / "session_2026-01-01_00-00-00_0_1"
    for content in (None, '[{"targets": ["127.0.0.1:9"]}]', "damaged", "{}"):
        if content:
            ended.mkdir(parents=True, exist_ok=True)
            (ended / "prom_metrics_service_discovery.json").write_text(content)
        assert readings() == []
        result = CliRunner().invoke(app, ["status"])
        assert (result.exit_code, result.stdout) == (
            1,
            "nothing runs: no extraction, no training\n",
        )


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
