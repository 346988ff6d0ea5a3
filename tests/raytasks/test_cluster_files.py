"""The files of configs/cluster are what Ray takes, in the version that avcmr is tested with."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
AWS = ROOT / "configs" / "cluster" / "aws.yaml"
KUBERAY = ROOT / "configs" / "cluster" / "kuberay.yaml"
FILES = pytest.mark.parametrize("path", [AWS, KUBERAY], ids=lambda path: path.stem)


def pinned(package: str) -> str:
    (version,) = re.findall(
        rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    return version


def test_ray_takes_the_aws_file() -> None:
    config = yaml.safe_load(AWS.read_text())
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]
    assert prepared["setup_commands"] == config["setup_commands"]
    workers = [kind["max_workers"] for kind in prepared["available_node_types"].values()]
    assert sum(workers) == config["max_workers"]


def test_ray_refuses_a_misspelt_aws_file() -> None:
    """The test above sees what it should see."""
    config = prepare_config(yaml.safe_load(AWS.read_text()))
    with pytest.raises(Exception, match="worker_setup_command"):
        validate_config(config | {"worker_setup_command": []})


def test_the_kuberay_file_is_one_ray_job() -> None:
    (job,) = yaml.safe_load_all(KUBERAY.read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned("ray")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]
    images = {image for group in groups for image in images_of(group)}
    assert len(images) == 1, "all machines run the same"


def images_of(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [value for name, value in part.items() if name == "image"] + [
            image for value in part.values() for image in images_of(value)
        ]
    return [image for one in part for image in images_of(one)] if isinstance(part, list) else []


def test_what_is_executed_on_the_head_joins_the_cluster() -> None:
    """Else the head starts a Ray of its own, and the machines that are paid for wait."""
    files = [path.read_text() for path in AWS.parent.glob("*.yaml")]
    text = "\n".join(files).replace("\\\n#", " ")  # one line each
    commands = re.findall(r"ray exec [^\n']*'(avcmr [^']*)'", text)
    assert {command.split()[1] for command in commands} == {"extract", "train"}
    assert all(" --address auto " in command for command in commands)


@FILES
def test_ray_s_image_is_the_version_that_is_tested(path: Path) -> None:
    tags = re.findall(r"rayproject/ray:(\S+)", path.read_text())
    assert tags
    assert all(tag.startswith(f"{pinned('ray')}-py311") for tag in tags)
