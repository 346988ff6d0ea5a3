"""Embed clips with a trained run, so that they can be searched.

A search indexes the run's clips by itself; this command can index others, such as clips extracted
after the training.

Examples:

    avcmr index runs/NAME

    avcmr index runs/NAME --features new.h5     (by the same networks as the run's features)
"""

from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.console import console, warn
from avcmr.cli.options import RunArgument


def command(
    run: RunArgument,
    features: Annotated[
        Path | None, typer.Option(help="Feature store to index; by default the run's own.")
    ] = None,
) -> None:
    from avcmr.retrieval.collection import write_collection
    from avcmr.retrieval.index import build_index
    from avcmr.training.run_folder import RunFolder

    folder = RunFolder(run)
    index = build_index(folder, features)
    write_collection(folder.index_file, index.collection, index.origin)
    warn(index.origin.warnings)
    console.print(f"{index.origin.features}: {index.collection!r}", markup=False)
    print(folder.index_file)
