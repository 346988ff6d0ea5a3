"""Find pictures for a sound, and sounds for a picture, by any media file.

A sound finds pictures; a video (by its frames) and an image find sounds; --find reverses the
direction of a video or an id. The features of the query are extracted by the networks that made the
features of the run. The clips are indexed first if there is no index, or they have changed.

Examples:

    avcmr search runs/NAME --audio bark.wav

    avcmr search runs/NAME --image dog.jpg --top 5 --split test

    avcmr search runs/NAME --video clip.mp4 --find picture      (by the sound of the video)

    avcmr search runs/NAME --id dog/bark_07 --class dog --json
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avcmr.cli.console import console, warn
from avcmr.cli.options import DeviceOption, GalleryOption, JsonOption, RunArgument, WeightsOption

if TYPE_CHECKING:
    from avcmr.retrieval.retriever import Hit

_PIPE_WIDTH = 200
"""Width of the table where the output is no terminal."""


def command(
    run: RunArgument,
    audio: Annotated[
        Path | None, typer.Option(help="Sound file (wav, mp3, flac, ogg, m4a, a video's sound).")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Video file.")] = None,
    image: Annotated[Path | None, typer.Option(help="Picture (jpg, png, webp).")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Id of a clip in the collection.")] = None,
    find: Annotated[
        Literal["picture", "sound"] | None,
        typer.Option(help="What to find; by default sounds for a video, pictures for an id."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many clips to show.", min=1)] = 10,
    label: Annotated[str | None, typer.Option("--class", help="Only clips of this class.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Only clips of this split, such as test.")
    ] = None,
    features: GalleryOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    from avcmr.retrieval.retriever import Retriever

    report = partial(console.print, markup=False)
    retriever = Retriever.load(
        run, features=features, weights=weights, device=device, report=report
    )
    warn(retriever.warnings)
    hits = retriever.search(
        audio=audio, video=video, image=image, id=id_, find=find, top=top, label=label, split=split
    )
    if as_json:
        print(json.dumps([asdict(hit) | {"path": _path(hit) or None} for hit in hits]))
    else:
        _show(hits)


def _show(hits: "Sequence[Hit]") -> None:
    output = Console(highlight=False)
    if not output.is_terminal:
        output.width = _PIPE_WIDTH
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    for column in ("class", "id"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", no_wrap=True)
    table.add_column("path", overflow="fold")
    for hit in hits:
        score = f"{hit.score:.3f}"
        texts = (str(hit.rank), score, hit.label, hit.id, _time(hit), _path(hit))
        table.add_row(*(Text(text) for text in texts))  # square brackets are no markup here
    output.print(table)


def _time(hit: "Hit") -> str:
    if hit.start is None and hit.end is None:
        return "all"
    return f"{hit.start or 0:g}–{'' if hit.end is None else f'{hit.end:g}'}"


def _path(hit: "Hit") -> str:
    from preprocessing.clips import NO_FILE

    return "" if hit.path == NO_FILE else str(hit.path)
