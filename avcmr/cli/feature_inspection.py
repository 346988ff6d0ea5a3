"""Inspect and validate files of features."""

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from avcmr.cli.console import console
from avcmr.cli.weights import WeightsOption

if TYPE_CHECKING:
    from preprocessing.interchange import PublishedFeatures
    from preprocessing.store import FeatureStore

FileArgument = Annotated[Path, typer.Argument(help="Feature store, or published features.")]
ManifestOption = Annotated[
    Path | None, typer.Option(help="NumPy: CSV file of labels (path,label[,id,split]).")
]
VisualKeyOption = Annotated[
    str | None, typer.Option(help="NumPy: use NAME_KEY.npy, if there are several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def info(
    file: FileArgument,
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the contents of a file of features.

    Example:

        avcmr features info features.h5
    """
    with _opened(file, manifest, visual_key) as source:
        facts = _facts(source)
    if as_json:
        print(json.dumps(facts))
        return
    table = Table(title=str(file), show_header=False)
    for name, value in facts.items():
        if isinstance(value, dict):
            table.add_row(name, ", ".join(f"{key} {item}" for key, item in value.items()))
        else:
            table.add_row(name, str(value))
    console.print(table)
    print(file)


def validate(
    file: FileArgument,
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check for NaN, rows of zeros, duplicate ids, mismatched offsets, and whether clips or weights
    have changed since.

    Exit code 1 if anything is found.

    Example:

        avcmr features validate features.h5
    """
    from preprocessing.store.validate import REMEDIES, duplicates, row_findings, validate_store

    features = _published(file, manifest, visual_key)
    if features is None:
        findings = validate_store(existing(file), partial(_sha256_here, weights))
    else:
        findings = list(duplicates(features.repeated_ids))
        findings += row_findings(features.ids.tolist(), features.block)
    if as_json:
        keys = ("kind", "id", "message")
        print(json.dumps([{key: getattr(one, key) for key in keys} for one in findings]))
    for kind, count in Counter(one.kind for one in findings).items():
        console.print(f"{kind}: {count} ({REMEDIES[kind]})", markup=False)
        for one in [one for one in findings if one.kind == kind][:5]:
            console.print(f"  {one.id + ': ' if one.id else ''}{one.message}", markup=False)
    if not findings:
        console.print(f"{file}: no problems found", markup=False)
    raise typer.Exit(1 if findings else 0)


def existing(path: Path) -> Path:
    from preprocessing.store import FeatureStore

    if not path.exists():
        FeatureStore(path).close()  # raises what is missing, or which parts are unfinished
    return path


def _published(
    file: Path, manifest: Path | None, visual_key: str | None
) -> "PublishedFeatures | None":
    """Features in a published layout; None where it is something else, such as a store."""
    from preprocessing.catalog.manifest import read_manifest
    from preprocessing.interchange import layout_of, read_published

    if layout_of(file) is None and manifest is None and visual_key is None:
        return None
    clips = read_manifest(manifest) if manifest else None
    return read_published(file, manifest=clips, visual_key=visual_key)


def _opened(
    file: Path, manifest: Path | None, visual_key: str | None
) -> "FeatureStore | PublishedFeatures":
    from preprocessing.store import FeatureStore

    return _published(file, manifest, visual_key) or FeatureStore(file)


def _sha256_here(folder: Path | None, name: str) -> str | None:
    """Hash of the weights that avcmr extract would use on this machine; None without any."""
    from preprocessing.networks.weights import SOURCES, find

    found = [find(one, folder) for one in SOURCES if one == name]
    return found[0].sha256 if found and found[0] else None


def _facts(source: "FeatureStore | PublishedFeatures") -> dict[str, Any]:
    from preprocessing.interchange import PublishedFeatures

    facts: dict[str, Any] = {"clips": len(source)}
    for stream, means in (("visual", source.visual_means), ("audio", source.audio_means)):
        rows = _row_counts(source, stream)
        facts[stream] = f"{means.shape[1]}-d, {min(rows)} to {max(rows)} rows a clip"
    facts["splits"] = dict(Counter(split or "none" for split in source.splits.tolist()))
    facts["classes"] = dict(sorted(Counter(source.labels.tolist()).items()))
    if isinstance(source, PublishedFeatures):
        return facts | {"layout": source.layout}
    provenance = source.provenance
    return facts | {
        "failed": len(source.failures),
        "config": dict(provenance.config),
        "weights": dict(provenance.weights),
        "decoder": provenance.decoder,
    }


def _row_counts(source: "FeatureStore | PublishedFeatures", stream: str) -> list[int]:
    from preprocessing.store import FeatureStore

    if isinstance(source, FeatureStore):
        return [getattr(record, stream)[0] for record in source.records]
    counts: list[int] = np.diff(getattr(source.block, stream).offsets).tolist()
    return counts
