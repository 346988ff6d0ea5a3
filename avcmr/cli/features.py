"""Feature files: import, export, inspect, validate, merge and subset them."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import typer

from avcmr.cli.console import console
from avcmr.cli.feature_inspection import existing, info, published, validate
from avcmr.cli.options import ManifestOption, VisualKeyOption
from preprocessing.errors import NotFoundError, SetupError

_Store = Annotated[Path, typer.Argument(help="Feature store.")]
_Out = Annotated[Path, typer.Option(help="File to write; must not exist yet.")]

FiniteOption = Annotated[
    bool, typer.Option("--finite", help="Leave out clips with NaN, infinity or overflow.")
]


def import_(
    file: Annotated[Path, typer.Argument(help="HDF5 file, or folder of NumPy arrays.")],
    out: _Out = Path("features.h5"),
    manifest: ManifestOption = None,
    visual_key: VisualKeyOption = None,
    made_by: Annotated[
        str | None, typer.Option(help="How they were made; by default the file's name.")
    ] = None,
    finite: FiniteOption = False,
) -> None:
    """Turn published features into a feature store.

    Reads HDF5 with audio_train, visual_train, lab_train, … or audio_feat, visual_feat, Label_ID and
    Train_test; and folders with NAME_vggish.npy beside NAME_KEY.npy, as video_features writes
    them. avcmr train reads all of these directly too.

    Examples:

        avcmr features import ave_feature_norm.h5 --out ave.h5

        avcmr features import output/ --manifest clips.csv --visual-key resnet --out features.h5
    """
    from preprocessing.interchange import import_features
    from preprocessing.store.validate import not_finite

    features = published(file.resolve(), manifest, visual_key)
    bad = not_finite(features.ids.tolist(), features.blocks())
    if finite:
        features = features.only([i for i, clip in enumerate(features.clips) if clip.id not in bad])
    elif bad:
        console.print(
            f"warning: NaN, infinity or overflow in the features of {len(bad):,} clips; --finite "
            "leaves them out",
            style="yellow",
        )
    import_features(features, out, made_by=made_by)
    console.print(f"{file}: {len(features)} clips, layout {features.layout}", markup=False)
    print(out)


def export(
    store: _Store,
    out: _Out,
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


def merge(
    stores: Annotated[
        list[Path], typer.Argument(help="Feature stores, made with the same settings.")
    ],
    out: _Out,
    prefer: Annotated[
        Literal["first", "last"] | None,
        typer.Option(help="Whose features to use where stores differ."),
    ] = None,
) -> None:
    """Merge the clips of several stores into one.

    Example:

        avcmr features merge monday.h5 tuesday.h5 --out week.h5
    """
    from preprocessing.store import FeatureStore, merge_stores

    merge_stores([existing(store) for store in stores], out, prefer=prefer)
    with FeatureStore(out) as merged:
        console.print(f"{len(merged)} clips from {len(stores)} stores")
    print(out)


def subset(
    store: _Store,
    out: _Out,
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
        int | None, typer.Option(help="Only the first N of each class.", min=1)
    ] = None,
    finite: FiniteOption = False,
) -> None:
    """Write some clips of a store to a new one; clips must meet all conditions.

    Examples:

        avcmr features subset features.h5 --class dog --class drum --out two.h5

        avcmr features subset features.h5 --split train --per-class 20 --out small.h5

        avcmr features subset features.h5 --finite --out finite.h5
    """
    from preprocessing.store import FeatureStore, Record, subset_store
    from preprocessing.store.validate import not_finite

    with FeatureStore(store) as opened:
        _require_known(store, "class", classes, opened.labels.tolist())
        _require_known(store, "split", splits, opened.splits.tolist())
        listed = _listed_in(ids) if ids else None
        _require_known(store, "clip", listed, opened.ids.tolist())
        bad = not_finite(opened.ids.tolist(), opened.blocks()) if finite else set()
    taken: Counter[str] = Counter()

    def wanted(record: Record) -> bool:
        clip = record.clip
        for chosen, value in ((classes, clip.label), (splits, clip.split), (listed, clip.id)):
            if chosen is not None and value not in chosen:
                return False
        if clip.id in bad:
            return False
        taken[clip.label] += 1
        return per_class is None or taken[clip.label] <= per_class

    console.print(f"{subset_store(store, out, wanted)} clips")
    print(out)


COMMANDS = (import_, export, info, validate, merge, subset)


def _listed_in(ids: Path) -> set[str]:
    from preprocessing.catalog.text import read_text

    listed = set(read_text(ids, "list of ids").split("\n")) - {""}
    if not listed:
        raise SetupError(f"{ids}: lists no ids; write one on each line")
    return listed


def _require_known(
    store: Path, what: str, chosen: Collection[str] | None, present: list[str]
) -> None:
    known = dict.fromkeys(present)
    absent = sorted(set(chosen or ()) - set(known))
    if absent:
        names = ", ".join(name or "none" for name in list(known)[:10])
        raise NotFoundError(
            f"{store}: it has no {what} {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}; "
            f"there are {names}{' …' if len(known) > 10 else ''}"
        )
