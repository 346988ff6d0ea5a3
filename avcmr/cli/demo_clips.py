"""Write a small labelled set of synthetic videos with sound, to try everything on.

Example:

    avcmr demo-clips demo/videos && avcmr extract --videos demo/videos --untrained-audio
"""

from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.console import ProgressLine, console


def command(
    folder: Annotated[Path, typer.Argument(help="Folder to write the class folders to.")],
    per_class: Annotated[int, typer.Option(help="Clips of each class.", min=3)] = 14,
    seed: Annotated[int, typer.Option(help="Clips of another seed differ.", min=0)] = 0,
) -> None:
    from preprocessing.demo import DEMO_CLASSES, write_demo_clips

    total = per_class * len(DEMO_CLASSES)
    with ProgressLine("demo clips", total) as line:
        written = write_demo_clips(
            folder,
            clips_per_class=per_class,
            seed=seed,
            progress=lambda done, all_clips: line.update(done, f"{done}/{all_clips}"),
        )
    console.print(
        f"{written} clips written, {total - written} existed; {len(DEMO_CLASSES)} classes"
    )
    print(folder)
