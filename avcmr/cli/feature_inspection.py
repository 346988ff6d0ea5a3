"""Inspect and validate files of features."""

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from avcmr.cli.console import console
from avcmr.cli.options import JsonOption, ManifestOption, VisualKeyOption, WeightsOption

if TYPE_CHECKING:
    from preprocessing.interchange import PublishedFeatures
    from preprocessing.store import FeatureStore

_File = Annotated[Path, typer.Argument(help="Feature store, or published features.")]


def info(
    file: _File,
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the contents of a file of features.

    Example:

        avcmr features info features.h5
    """
    from preprocessing.store import FeatureStore

    is_store = _is_store(file, manifest, visual_key)
    with FeatureStore(file) if is_store else published(file, manifest, visual_key) as source:
        facts = _facts(source)
    if as_json:
        print(json.dumps(facts))
        return
    table = Table(title=str(file), show_header=False)
    for name, value in facts.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        table.add_row(name, ", ".join(f"{key} {item}".strip() for key, item in pairs))
    console.print(table)
    print(file)


def validate(
    file: _File,
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

    if _is_store(file, manifest, visual_key):
        findings = validate_store(existing(file), partial(_sha256_here, weights))
    else:
        features = published(file, manifest, visual_key)
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
    """The path of a store, where there is one."""
    from preprocessing.store import FeatureStore

    if not path.exists():
        FeatureStore(path).close()  # raises what is missing, or which parts are unfinished
    return path


def published(file: Path, manifest: Path | None, visual_key: str | None) -> "PublishedFeatures":
    """Features in a published layout, with the labels of a manifest file."""
    from preprocessing.catalog.manifest import read_manifest
    from preprocessing.interchange import read_published

    clips = read_manifest(manifest) if manifest else None
    return read_published(file, manifest=clips, visual_key=visual_key)


def _is_store(file: Path, manifest: Path | None, visual_key: str | None) -> bool:
    from preprocessing.interchange import layout_of

    return layout_of(file) is None and manifest is None and visual_key is None


def _sha256_here(folder: Path | None, name: str) -> str | None:
    """Hash of the weights that avcmr extract would use on this machine; None without any."""
    from preprocessing.networks.weights import SOURCES, find

    found = [find(one, folder) for one in SOURCES if one == name]
    return found[0].sha256 if found and found[0] else None


def _facts(source: "FeatureStore | PublishedFeatures") -> dict[str, Any]:
    from preprocessing.interchange import PublishedFeatures
    from preprocessing.media.repairs import count_repairs

    facts: dict[str, Any] = {"clips": len(source)}
    for stream, means in (("visual", source.visual_means), ("audio", source.audio_means)):
        rows = _row_counts(source, stream)
        facts[stream] = f"{means.shape[1]}-d, {min(rows)} to {max(rows)} rows a clip"
    facts["splits"] = dict(Counter(split or "none" for split in source.splits.tolist()))
    facts["classes"] = dict(sorted(Counter(source.labels.tolist()).items()))
    if isinstance(source, PublishedFeatures):
        return facts | {"layout": source.layout}
    repairs = count_repairs(record.damage for record in source.records)
    made = {"failed": len(source.failures), "damage": repairs}
    return facts | made | asdict(source.provenance)


def _row_counts(source: "FeatureStore | PublishedFeatures", stream: str) -> list[int]:
    from preprocessing.store import FeatureStore

    if isinstance(source, FeatureStore):
        return [getattr(record, stream)[0] for record in source.records]
    counts: list[int] = np.diff(getattr(source.block, stream).offsets).tolist()
    return counts
