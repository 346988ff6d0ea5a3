"""Ray, and where weights come from: what may lie on other machines."""

import os
import socket
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from avcmr.cli.checks.machine import Row
from preprocessing.errors import AvcmrError

if TYPE_CHECKING:
    from preprocessing.networks.weights import WeightsName

PATIENCE = 3.0
"""Seconds to wait for an answer of another machine."""


def ray() -> Row:
    """Ray loads, and the cluster that $RAY_ADDRESS names answers."""
    found = metadata.version("ray")
    try:
        import_module("raytasks.cluster")
    except (ImportError, OSError) as error:
        remedy = "pip install --force-reinstall 'ray[default,train]'"
        return Row("Ray", "error", f"{found} does not load ({error})", remedy)
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not address:
        return Row("Ray", "ok", f"{found}, started on this machine when it is needed")
    if not port.isdecimal():
        return Row("Ray", "ok", f"{found}, cluster {address} ($RAY_ADDRESS)")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        remedy = "start that cluster, or unset RAY_ADDRESS to use this machine alone"
        return Row("Ray", "error", f"no answer from {address}, $RAY_ADDRESS ({error})", remedy)
    return Row("Ray", "ok", f"{found}, cluster {address} ($RAY_ADDRESS)")


def weights_of(name: "WeightsName", directory: Path | None) -> Row:
    """Pretrained weights are on this machine, or can be downloaded."""
    from preprocessing.networks.weights import SOURCES, answers, download_urls, find

    row = f"weights {name}"
    try:
        found = find(name, directory)
    except AvcmrError as error:
        wrong, _, remedy = str(error).rpartition("; ")
        return Row(row, "error", wrong, remedy)
    if found:
        return Row(row, "ok", str(found.path))
    urls = [url for source in SOURCES[name] for url in download_urls(source)]
    answering = next((url for url in urls if answers(url, timeout=PATIENCE)), None)
    if answering:
        return Row(row, "ok", f"not here; will be downloaded from {answering} when first needed")
    remedy = f"avcmr weights get {name} --mirror URL, or copy the file here: avcmr weights list"
    if name != "inception_v3_2015":
        remedy += "; for trials: avcmr extract --untrained-audio"
    return Row(row, "error", f"not here, and no answer from {' or '.join(urls)}", remedy)
