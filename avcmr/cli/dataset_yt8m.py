"""``avcmr dataset yt8m``: a benchmark from YouTube-8M's published features."""

import glob
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from avcmr.cli.console import console
from preprocessing.errors import SetupError


def command(
    shards: Annotated[
        list[str], typer.Option(help="Shards, as a quoted pattern; may be repeated.")
    ],
    vocabulary: Annotated[Path, typer.Option(help="YouTube-8M's vocabulary.csv.")],
    classes: Annotated[int, typer.Option(help="How many classes.", min=2)] = 15,
    per_class: Annotated[
        int | None, typer.Option(help="At most so many videos of a class.", min=3)
    ] = None,
    out: Annotated[Path, typer.Option(help="The feature store to write.")] = Path("yt8m.h5"),
    val: Annotated[float, typer.Option(help="Share for validation.", min=0.01, max=0.4)] = 0.1,
    test: Annotated[float, typer.Option(help="Share for testing.", min=0.01, max=0.4)] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the division into splits.")] = 0,
) -> None:
    """Make a benchmark of YouTube-8M's published features: no video and no network is needed.

    Takes the most frequent classes that exclude each other, and the videos that have exactly one
    of them. Reads video-level and frame-level shards without TensorFlow, and checks every record.

    Example:

        avcmr dataset yt8m --shards 'validate*.tfrecord' --vocabulary vocabulary.csv --classes 15
    """
    from preprocessing.interchange.youtube8m import read_vocabulary, select, write_benchmark

    paths = sorted({Path(path) for pattern in shards for path in glob.glob(pattern)})  # noqa: PTH207
    if not paths:
        raise SetupError(
            f"no file fits --shards {' '.join(shards)}; download shards such as "
            "validate0000.tfrecord from https://research.google.com/youtube8m/download.html"
        )
    names = read_vocabulary(vocabulary)
    selection = select([path.resolve() for path in paths], classes, per_class=per_class)
    splits = write_benchmark(selection, names, out, val=val, test=test, seed=seed)
    console.print(
        f"{selection.read:,} videos in {len(paths)} shards; {len(splits):,} taken, "
        f"{selection.shared} left out that share a feature vector"
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
