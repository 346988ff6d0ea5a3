"""Several Ray nodes, one of which is killed in the midst of work."""

import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from ray import cloudpickle
from ray.cluster_utils import Cluster as Nodes

from avcmr.features.dataset import load_dataset
from avcmr.training.history import EpochRecord
from avcmr.training.loop import train
from preprocessing.clips import Clip
from preprocessing.media import PyAVDecoder, Sampling
from preprocessing.media.types import Media
from preprocessing.store import FeatureStore, FeatureWriter
from raytasks.cluster import connected
from raytasks.extraction.decoding import Decoding
from raytasks.extraction.driver import Extraction, Progress
from raytasks.extraction.layout import Layout
from raytasks.startup import PACKAGES
from raytasks.train import WorkerPlan, train_on_ray
from tests.raytasks.extraction.test_driver import PROVENANCE, Averages, averages, make_clip
from tests.raytasks.test_train import open_run, parameters

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

pytestmark = pytest.mark.slow


SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 60_000,
    "health_check_failure_threshold": 2,
}
"""When Ray takes a node for dead; by default that is half a minute."""

OBJECT_STORE_BYTES = 80 << 20


@pytest.fixture
def nodes(no_ray: None) -> Iterator[Nodes]:
    """A head, for the driver alone; :func:`add` gives it others for the work."""
    head = {
        "num_cpus": 0,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_system_config": SOON,
    }
    nodes = Nodes(initialize_head=True, head_node_args=head)
    try:
        yield nodes
    finally:
        nodes.shutdown()


def add(nodes: Nodes, count: int) -> None:
    """Add so many nodes of one core each."""
    for _ in range(count):
        nodes.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)


def kill(nodes: Nodes, process: str) -> None:
    """End a node, without warning, on which a process runs whose title has this in it."""
    for node in nodes.worker_nodes:
        (raylet,) = node.all_processes["raylet"]
        titles = titles_of_children(raylet.process.pid)
        if any(process in title.lower() for title in titles):
            nodes.remove_node(node, allow_graceful=False)
            return
    raise AssertionError(f"no {process} runs on any node")


def titles_of_children(process: int) -> Iterator[str]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == process:
                yield (stat.parent / "cmdline").read_text()
        except OSError:
            continue  # it ended while we looked


class SlowDecoder(PyAVDecoder):
    """So slow that something is always in flight."""

    def decode(self, clip: Clip, sampling: Sampling) -> Media:
        time.sleep(0.5)
        return super().decode(clip, sampling)


@pytest.mark.parametrize(
    ("decoding", "victim"),
    [
        (Decoding(SlowDecoder, SlowDecoder), "extract"),
        (Decoding(SlowDecoder, None, True), "decode"),
    ],
    ids=["processes that do both", "decoders and networks"],
)
def test_a_lost_node_costs_no_clip(
    nodes: Nodes, tmp_path: Path, decoding: Decoding, victim: str
) -> None:
    add(nodes, 2)
    clips = [make_clip(tmp_path, f"clip {'i' * i}") for i in range(12)]
    killed: list[Progress] = []

    def kill_once(progress: Progress) -> None:
        if progress.done >= 4 and not killed:
            killed.append(progress)
            kill(nodes, victim)

    out = tmp_path / "features.h5"
    with connected(nodes.address) as cluster, FeatureWriter(out, PROVENANCE) as writer:
        assert cluster.cpus == 2
        layout = Layout.fitting(cluster)
        if decoding.beside:
            layout = Layout(2, 2, 0.3, 0.7, 0, 1, 1, 4)  # as on GPUs
        summary = Extraction(
            writer, Sampling(), averages, layout, decoding, on_progress=kill_once
        ).run(clips)
        writer.finish(clips)
    assert [progress.done < len(clips) for progress in killed] == [True]
    assert (summary.done, summary.failed) == (len(clips), 0)
    decoder, extractor = PyAVDecoder(), Averages()
    with FeatureStore(out) as store:
        assert list(store.ids) == [clip.id for clip in clips]
        assert not store.failures
        for row, clip in enumerate(clips):
            (undisturbed,) = extractor.extract([decoder.decode(clip, Sampling())])
            np.testing.assert_array_equal(store.clip(row).visual, undisturbed.visual)
            np.testing.assert_array_equal(store.clip(row).audio, undisturbed.audio)


@ray.remote(num_cpus=0)
def where_it_comes_from() -> list[str]:
    return [import_module(name).__file__ or "" for name in PACKAGES]


def test_the_package_travels_to_the_nodes(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(nodes, 1)
    monkeypatch.chdir(tmp_path)  # else nodes of this machine find it where the driver stands
    with connected(nodes.address):
        for path in ray.get(where_it_comes_from.remote()):
            assert "_ray_pkg" in path, path


def test_training_goes_on_without_a_lost_node(nodes: Nodes, tmp_path: Path) -> None:
    """Two workers, each on a node; one node of three is lost, and the third takes its place."""
    add(nodes, 3)
    many_epochs = "stage1.max_epochs=100"
    undisturbed = open_run(tmp_path / "undisturbed", many_epochs)
    disturbed = open_run(tmp_path / "disturbed", many_epochs)
    config = undisturbed.config()
    train(load_dataset(config.features, config.data), config, undisturbed)
    finished_when_killed: list[bool] = []

    def kill_once(record: EpochRecord) -> None:
        if record["epoch"] >= 3 and not finished_when_killed:
            kill(nodes, "raytrainworker")
            finished_when_killed.append(disturbed.finished)

    with connected(nodes.address):
        plan = WorkerPlan(workers=2, use_gpu=False, cpus=0.8, threads=1)
        train_on_ray(disturbed, plan, kill_once)
    assert finished_when_killed == [False]
    assert disturbed.finished
    last_epoch = undisturbed.history()[-1]["epoch"]
    assert [record["epoch"] for record in disturbed.history()] == list(range(1, last_epoch + 1))
    for name, expected in parameters(undisturbed).items():
        torch.testing.assert_close(parameters(disturbed)[name], expected, atol=1e-5, rtol=0)
