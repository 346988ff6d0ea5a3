"""Run the whole comparison on a data set of the paper, beside published numbers.

Takes the published feature files (audio_train, visual_train, lab_train, …; or audio_feat,
visual_feat, Label_ID and Train_test or Split), or features of your own extraction. Runs avcmr
compare with all methods and the data set's preset, changed by the settings given. Resumes where it
was interrupted. Published numbers could be read for vegas and ave15.

Examples:

    avcmr reproduce vegas --features vegas_feature.h5

    avcmr reproduce ave15 --features ave.h5 --methods ours,cluster-cca --jobs 4

    avcmr reproduce ave --features ave.h5 --out comparisons/ave-alike model.feature_weights=0
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.compare import JobsOption, JsonOption, MethodsOption, SeedsOption, run
from avcmr.cli.options import OverridesArgument
from avcmr.comparison.published import Preset


def command(
    dataset: Annotated[Preset, typer.Argument(help="Data set of the features.")],
    features: Annotated[Path, typer.Option(help="Published feature file, or feature store.")],
    overrides: OverridesArgument = None,
    methods: MethodsOption = "all",
    seeds: SeedsOption = 5,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; by default comparisons/DATASET.")
    ] = None,
    jobs: JobsOption = 1,
    as_json: JsonOption = False,
) -> None:
    from avcmr.comparison.published import PRESETS, PUBLISHED
    from avcmr.config_files import load_config, preset

    folder = out or Path("comparisons") / dataset
    result = run(
        features,
        load_config(preset(dataset), overrides or ()),
        methods,
        seeds=seeds,
        folder=folder,
        jobs=jobs,
        classes=PRESETS[dataset],
        published=PUBLISHED[dataset],
    )
    result |= {"published": [asdict(row) for row in PUBLISHED[dataset]]}
    print(json.dumps(result) if as_json else folder)
