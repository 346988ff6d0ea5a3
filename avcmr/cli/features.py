"""Feature files: import and export published ones, look into them, check, merge and cut them."""

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.table import Table

from avcmr.cli.console import console
from avcmr.cli.weights import WeightsOption
from preprocessing.errors import NotFoundError

if TYPE_CHECKING:
    from preprocessing.interchange import PublishedFeatures
    from preprocessing.store import FeatureStore

FileArgument = Annotated[Path, typer.Argument(help="Feature store, or published features.")]
StoreArgument = Annotated[Path, typer.Argument(help="Feature store.")]
OutOption = Annotated[Path, typer.Option(help="What to write; must not be there yet.")]
ManifestOption = Annotated[
    Path | None, typer.Option(help="NumPy: CSV file of labels (path,label[,id,split]).")
]
VisualKeyOption = Annotated[
    str | None, typer.Option(help="NumPy: take NAME_KEY.npy, where there are several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def import_(
    file: Annotated[Path, typer.Argument(help="HDF5 file, or folder of NumPy arrays.")],
    out: OutOption = Path("features.h5"),
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    made_by: Annotated[
        str | None, typer.Option(help="How they were made; by default the file's name.")
    ] = None,
) -> None:
    """Turn published features into a feature store.

    Reads HDF5 with audio_train, visual_train, lab_train, … or audio_feat, visual_feat, Label_ID and
    Train_test; and folders with NAME_vggish.npy beside NAME_KEY.npy, as video_features writes
    them. avcmr train reads all of these directly too.

    Examples:

        avcmr features import ave_feature_norm.h5 --out ave.h5

        avcmr features import output/ --manifest clips.csv --visual-key resnet --out features.h5
    """
    from preprocessing.catalog.manifest import read_manifest
    from preprocessing.interchange import import_features, read_published

    clips = read_manifest(manifest) if manifest else None
    features = read_published(file.resolve(), manifest=clips, visual_key=visual_key)
    import_features(features, out, made_by=made_by)
    console.print(f"{file}: {len(features)} clips, layout {features.layout}", markup=False)
    print(out)


def export(
    store: StoreArgument,
    out: OutOption,
    layout: Annotated[
        Literal["split", "flat", "numpy"], typer.Option(help="As in docs/features.md.")
    ] = "split",
    sequences: Annotated[
        bool, typer.Option("--sequences", help="HDF5: all rows (N, T, D), not means (N, D).")
    ] = False,
) -> None:
    """Write a feature store in a published layout, for other programs.

    Examples:

        avcmr features export features.h5 --out published.h5

        avcmr features export features.h5 --layout numpy --out arrays/
    """
    from preprocessing.interchange import export as write
    from preprocessing.store import FeatureStore

    with FeatureStore(store) as opened:
        write(opened, layout, out, sequences=sequences)
    print(out)


def info(
    file: FileArgument,
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a file of features.

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
    """Look for NaN, rows of zeros, duplicate ids, mismatched offsets, and whether clips or weights
    have changed since.

    Exit code 1 if anything is found.

    Example:

        avcmr features validate features.h5
    """
    from preprocessing.store.validate import REMEDIES, duplicates, row_findings, validate_store

    features = _published(file, manifest, visual_key)
    if features is None:
        findings = validate_store(_existing(file), partial(_sha256_here, weights))
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
        console.print(f"{file}: nothing wrong found", markup=False)
    raise typer.Exit(1 if findings else 0)


def merge(
    stores: Annotated[list[Path], typer.Argument(help="Feature stores, made in one way.")],
    out: OutOption,
    prefer: Annotated[
        Literal["first", "last"] | None,
        typer.Option(help="Which features to take of a clip that two stores have otherwise."),
    ] = None,
) -> None:
    """Put the clips of several stores into one.

    Example:

        avcmr features merge monday.h5 tuesday.h5 --out week.h5
    """
    from preprocessing.store import FeatureStore, merge_stores

    merge_stores([_existing(store) for store in stores], out, prefer=prefer)
    with FeatureStore(out) as merged:
        console.print(f"{len(merged)} clips from {len(stores)} stores")
    print(out)


def subset(
    store: StoreArgument,
    out: OutOption,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Only this class; may be repeated.")
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="Only these clips: a file, one id a line.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Only the first so many of each class.", min=1)
    ] = None,
) -> None:
    """Take some clips of a store into a new one; conditions add up.

    Examples:

        avcmr features subset features.h5 --class dog --class drum --out two.h5

        avcmr features subset features.h5 --split train --per-class 20 --out small.h5
    """
    from preprocessing.store import FeatureStore, Record, subset_store

    with FeatureStore(store) as opened:
        _require_known(store, "class", classes, set(opened.labels.tolist()))
        _require_known(store, "split", splits, set(opened.splits.tolist()))
        listed = ids.read_text(encoding="utf-8").splitlines() if ids else None
        _require_known(store, "clip", listed, set(opened.ids.tolist()))
    taken: Counter[str] = Counter()

    def wanted(record: Record) -> bool:
        clip = record.clip
        for chosen, value in ((classes, clip.label), (splits, clip.split), (listed, clip.id)):
            if chosen and value not in chosen:
                return False
        taken[clip.label] += 1
        return per_class is None or taken[clip.label] <= per_class

    console.print(f"{subset_store(store, out, wanted)} clips")
    print(out)


COMMANDS: dict[str, Callable[..., None]] = {
    "import": import_,
    "export": export,
    "info": info,
    "validate": validate,
    "merge": merge,
    "subset": subset,
}


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
    """Of the weights that avcmr extract would use on this machine; None where there are none."""
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


def _existing(path: Path) -> Path:
    from preprocessing.store import FeatureStore

    if not path.exists():
        FeatureStore(path).close()  # says what is missing, and of parts that wait
    return path


def _require_known(store: Path, what: str, chosen: list[str] | None, known: set[str]) -> None:
    absent = [name for name in chosen or () if name not in known]
    if absent:
        raise NotFoundError(
            f"{store}: no {what} {', '.join(absent[:5])}; "
            f"avcmr features info {store} shows what there is"
        )
