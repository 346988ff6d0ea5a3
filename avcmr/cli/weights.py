"""List, download and check the pretrained weights.

They are looked for in --weights DIR, $AVCMR_WEIGHTS, the cache (~/.cache/avcmr/weights) and
installed packages, and are downloaded when they are first needed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avcmr.cli.console import console
from avcmr.cli.options import JsonOption, WeightsOption
from preprocessing.errors import NotFoundError, SetupError, UsageError

if TYPE_CHECKING:
    from preprocessing.networks.weights import WeightsName

NEEDED = ("inception_v3_2015", "vggish", "vggish_pca")
"""What avcmr extract needs with its defaults."""


def list_(weights: WeightsOption = None, as_json: JsonOption = False) -> None:
    """Show each network's weights: where they are on this machine, and which files are published.

    Example:

        avcmr weights list                  (--json for a machine-readable result)
    """
    from preprocessing.networks.weights import SOURCES, find

    found = {name: find(name, weights) for name in SOURCES}
    if as_json:
        rows = [
            {
                "name": name,
                "path": str(here.path) if here else None,
                "published": [
                    {
                        "file": source.file,
                        "source": source.origin,
                        "megabytes": source.megabytes,
                        "licence": source.licence,
                        "sha256": source.sha256,
                    }
                    for source in SOURCES[name]
                ],
            }
            for name, here in found.items()
        ]
        print(json.dumps(rows))
        return
    for name, here in found.items():
        print(f"{name}: {here.path if here else 'not on this machine'}")
        for source in SOURCES[name]:
            print(f"    {source.file}, {source.megabytes:g} MB, {source.licence}")
            print(f"        from {source.origin}")
            print(f"        sha256 {source.sha256}")


def get(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; by default all that extraction needs.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder to put them into; by default the cache.")
    ] = None,
    mirror: Annotated[
        str, typer.Option(help="Start of a URL to add the file's name to; also $AVCMR_MIRROR.")
    ] = "",
) -> None:
    """Download weights, resuming a download that broke off.

    A file from a mirror is checked by its sha256, as any other.

    Examples:

        avcmr weights get

        avcmr weights get vggish --to weights --mirror https://files.example.org/weights
    """
    from preprocessing.networks.weights import resolve, to_folder

    if to and to.exists() and not to.is_dir():
        raise UsageError(f"--to {to}: is a file; name a folder")
    if mirror and "://" not in mirror:
        raise UsageError(f"--mirror {mirror}: not a URL; begin it with https:// or file://")
    for name in _names(names or NEEDED):
        if to:
            print(to_folder(name, to, mirror=mirror, report=report_download).path)
        else:
            print(resolve(name, mirror=mirror, report=report_download).path)


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; by default all on this machine.")
    ] = None,
    weights: WeightsOption = None,
) -> None:
    """Run the networks on known input, and compare their output with published results.

    Files are checked by their sha256 as well. Exit code 2 if anything differs.

    Example:

        avcmr weights verify vggish --weights weights
    """
    from preprocessing.networks.reference_checks import check_weights
    from preprocessing.networks.weights import SOURCES, find

    pca = find("vggish_pca", weights)
    failed = checked = 0
    for name in _names(names or list(SOURCES)):
        found = find(name, weights)
        if found is None:
            if names:
                raise SetupError(f"no {name} on this machine; fetch it: avcmr weights get {name}")
            continue
        checked += 1
        findings = check_weights(name, found.tensors(), pca.tensors() if pca else None)
        passed = all(finding.passed for finding in findings)
        failed += not passed
        print(f"{'pass' if passed else 'FAIL'}  {name}: {found.path}")
        for finding in findings:
            print(f"      {'ok' if finding.passed else 'WRONG'}: {finding.what}")
        print(f"      ok: sha256 {found.sha256}, as published")
    if not checked:
        raise SetupError("no weights on this machine; fetch them: avcmr weights get")
    if failed:
        raise SetupError(f"{failed} of {checked} give other results than published; fetch again")


def report_download(state: str) -> None:
    """Print how far a download is."""
    console.print(state, markup=False)


def _names(given: Sequence[str]) -> "list[WeightsName]":
    from preprocessing.networks.weights import SOURCES

    unknown = [name for name in given if name not in SOURCES]
    if unknown:
        raise NotFoundError(f"no weights {', '.join(unknown)}; there are: {', '.join(SOURCES)}")
    return [name for name in SOURCES if name in given]


COMMANDS = (list_, get, verify)
