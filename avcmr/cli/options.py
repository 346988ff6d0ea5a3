"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RunArgument = Annotated[Path, typer.Argument(help="Folder of the run, such as runs/NAME.")]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="Settings, such as stage1.margin=0.3.")
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="YAML file of settings, folder of a run, or preset such as ave.")
]
GalleryOption = Annotated[
    Path | None, typer.Option(help="Feature store to search; by default that of the index.")
]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Folder of pretrained weights; also $AVCMR_WEIGHTS.")
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where queries are computed.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster; also $RAY_ADDRESS. Default: this machine.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
FollowLinksOption = Annotated[
    bool, typer.Option("--follow-links", help="Follow links that lead out of the folder.")
]
ManifestOption = Annotated[
    Path | None, typer.Option(help="NumPy: CSV file of labels (path,label[,id,split]).")
]
VisualKeyOption = Annotated[
    str | None, typer.Option(help="NumPy: use NAME_KEY.npy, if there are several.")
]
