"""List a data set on disk: a manifest for avcmr extract, and a table of its clips.

The table shows classes by splits, hours, missing files and duplicate clips.

From AVE's files to a table of results:

    avcmr dataset ave --annotations AVE/Annotations.txt --videos AVE/AVE --out ave.csv

    avcmr extract --manifest ave.csv --out ave.h5

    avcmr train --features ave.h5 --config configs/ave.yaml

    avcmr evaluate runs/ave
"""

import glob
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from avcmr.cli.console import ProgressLine, console
from avcmr.cli.options import FollowLinksOption, JsonOption
from avcmr.cli.survey_table import as_json_text, show
from preprocessing.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from preprocessing.catalog.datasets import Divide, Listing

_Out = Annotated[Path, typer.Option(help="The manifest to write.")]
_AcrossSplits = Annotated[
    Literal["refuse", "as-listed", "drop", "keep"],
    typer.Option(
        help="Clips that are in two splits: an error (refuse); an error only if two files are "
        "equal, while one file may be listed twice (as-listed); removed from training (drop); "
        "or kept."
    ),
]
_Val = Annotated[
    float, typer.Option(help="Fraction for validation, if there are no splits.", min=0, max=0.5)
]
_Test = Annotated[
    float, typer.Option(help="Fraction for testing, if there are no splits.", min=0, max=0.5)
]
_Seed = Annotated[int, typer.Option(help="Of the random division.", min=0)]


def ave(
    annotations: Annotated[Path, typer.Option(help="AVE's Annotations.txt.")],
    videos: Annotated[Path, typer.Option(help="Folder that holds VIDEO.mp4, by YouTube id.")],
    out: _Out = Path("ave.csv"),
    splits: Annotated[
        Path | None,
        typer.Option(
            help="Folder of trainSet.txt … or train_order.h5 …; by default that of the annotations."
        ),
    ] = None,
    subset: Annotated[
        Literal["ave", "ave15"], typer.Option(help="All 28 classes, or the 15 of the paper.")
    ] = "ave",
    cut: Annotated[
        Literal["none", "train", "all"],
        typer.Option(help="Which clips are cut to the seconds of their event."),
    ] = "none",
    across_splits: _AcrossSplits = "as-listed",
    as_json: JsonOption = False,
) -> None:
    """AVE, with its official splits: 4,143 clips, 28 classes.

    Examples:

        avcmr dataset ave --annotations AVE/Annotations.txt --videos AVE/AVE

        avcmr dataset ave --annotations AVE/Annotations.txt --videos AVE/AVE --subset ave15
    """
    from preprocessing.catalog.datasets import AVE15_CLASSES, AVE_CLASSES, list_ave

    listing = list_ave(
        annotations,
        videos,
        splits=splits,
        classes=AVE15_CLASSES if subset == "ave15" else AVE_CLASSES,
        cut=cut,
    )
    _survey_and_write(listing, out, across_splits, as_json=as_json)


def vegas(
    videos: Annotated[
        Path, typer.Option(help="Folder of CLASS/…/video_00382.mp4 or CLASS_video_00382.mp4.")
    ],
    out: _Out = Path("vegas.csv"),
    fold: Annotated[
        int,
        typer.Option(help="Which of five class-balanced folds is the test split.", min=1, max=5),
    ] = 1,
    seed: _Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """VEGAS: 28,103 clips, 10 classes; a fifth of each is the test split.

    Examples:

        avcmr dataset vegas --videos VEGAS/data --fold 2 --out vegas-2.csv
    """
    from preprocessing.catalog.datasets import list_vegas, vegas_splits

    divide = partial(vegas_splits, fold=fold, seed=seed)
    _survey_and_write(list_vegas(videos), out, divide=divide, as_json=as_json)


def folder(
    root: Annotated[Path, typer.Argument(help="Folder of CLASS/ folders, or of train/CLASS/ ….")],
    out: _Out = Path("clips.csv"),
    val: _Val = 0.1,
    test: _Test = 0.2,
    seed: _Seed = 0,
    across_splits: _AcrossSplits = "refuse",
    follow_links: FollowLinksOption = False,
    as_json: JsonOption = False,
) -> None:
    """Your own folder of videos, one folder a class.

    Examples:

        avcmr dataset folder raw/ --out clips.csv          (raw/CLASS/clip.mp4)
    """
    from preprocessing.catalog.datasets import list_folder

    listing = list_folder(root, follow_links=follow_links)
    divide = _divide(listing, val, test, seed)
    _survey_and_write(listing, out, across_splits, divide=divide, as_json=as_json)


def csv(
    file: Annotated[Path, typer.Argument(help="Columns path,label[,id,split,start,end].")],
    out: _Out = Path("clips.csv"),
    val: _Val = 0.1,
    test: _Test = 0.2,
    seed: _Seed = 0,
    across_splits: _AcrossSplits = "refuse",
    as_json: JsonOption = False,
) -> None:
    """Your own list of clips: checked, and divided if it has no splits.

    Examples:

        avcmr dataset csv mine.csv --out clips.csv
    """
    from preprocessing.catalog.datasets import list_csv

    if out.resolve() == file.resolve():
        raise UsageError(f"{out} is the list itself; choose another --out")
    listing = list_csv(file)
    divide = _divide(listing, val, test, seed)
    _survey_and_write(listing, out, across_splits, divide=divide, as_json=as_json)


def yt8m(
    shards: Annotated[
        list[str], typer.Option(help="Shards, as a quoted pattern; may be repeated.")
    ],
    vocabulary: Annotated[Path, typer.Option(help="YouTube-8M's vocabulary.csv.")],
    classes: Annotated[int, typer.Option(help="How many classes.", min=2)] = 15,
    per_class: Annotated[
        int | None, typer.Option(help="Maximum number of videos of a class.", min=3)
    ] = None,
    out: Annotated[Path, typer.Option(help="The feature store to write.")] = Path("yt8m.h5"),
    val: Annotated[float, typer.Option(help="Fraction for validation.", min=0.01, max=0.4)] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction for testing.", min=0.01, max=0.4)] = 0.1,
    seed: _Seed = 0,
) -> None:
    """Build a benchmark from YouTube-8M's published features, without videos or networks.

    Takes the most frequent mutually exclusive classes, and the videos that have exactly one of
    them. Reads video-level and frame-level shards without TensorFlow, and checks every record.

    Example:

        avcmr dataset yt8m --shards 'validate*.tfrecord' --vocabulary vocabulary.csv --classes 15
    """
    from preprocessing.interchange.youtube8m import read_vocabulary, select, write_benchmark

    paths = sorted({Path(path) for pattern in shards for path in glob.glob(pattern)})  # noqa: PTH207
    if not paths:
        raise NotFoundError(
            f"no file fits --shards {' '.join(shards)}; download shards such as "
            "validate0000.tfrecord from https://research.google.com/youtube8m/download.html"
        )
    names = read_vocabulary(vocabulary)
    selection = select([path.resolve() for path in paths], classes, per_class=per_class)
    splits = write_benchmark(selection, names, out, val=val, test=test, seed=seed)
    console.print(
        f"{selection.read:,} videos in {len(paths)} shards; {len(splits):,} selected, "
        f"{selection.shared} dropped that share a feature vector"
    )
    counts = Counter(
        (label, split) for (_, label), split in zip(selection.videos, splits, strict=True)
    )
    table = Table("class", "train", "val", "test")
    for label in selection.classes:
        row = [f"{counts[label, split]:,}" for split in ("train", "val", "test")]
        table.add_row(names.get(label, str(label)), *row)
    console.print(table)
    print(out)


COMMANDS = (ave, vegas, folder, csv, yt8m)


def _divide(listing: "Listing", val: float, test: float, seed: int) -> "Divide | None":
    """The function that divides clips without splits; None if they have splits."""
    from preprocessing.catalog.splits import stratified_split

    if any(clip.split for clip in listing.clips):
        return None
    if val + test >= 1:
        raise UsageError(f"--val {val:g} and --test {test:g} leave nothing to train on")
    return partial(stratified_split, val=val, test=test, seed=seed)


def _survey_and_write(
    listing: "Listing",
    out: Path,
    across_splits: Literal["refuse", "as-listed", "drop", "keep"] = "refuse",
    *,
    divide: "Divide | None" = None,
    as_json: bool,
) -> None:
    from preprocessing.catalog.datasets import survey
    from preprocessing.catalog.manifest import write_manifest

    if out.is_dir():
        raise UsageError(f"{out}: is a folder; --out wants a file, such as {out / 'clips.csv'}")
    with ProgressLine("examine clips", len(listing.clips)) as line:
        found = survey(
            listing,
            divide=divide,
            across_splits=across_splits,
            on_compare=lambda done, total: line.update(
                0, f"{done}/{total} files of equal size compared"
            ),
            on_probe=lambda done, total: line.update(done, f"{done}/{total} headers read"),
        )
    write_manifest(out, found.clips)
    show(found)
    print(as_json_text(found, out) if as_json else out)
