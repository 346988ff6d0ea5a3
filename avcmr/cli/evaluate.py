"""Evaluate a trained run on its test clips and write a report. Clips are ranked on the GPU if there
is one.

Example:

    avcmr evaluate runs/NAME            (--json for a machine-readable result on stdout)
"""

import json

from rich.table import Table

from avcmr.cli.console import console, warn
from avcmr.cli.options import JsonOption, RunArgument


def command(run: RunArgument, as_json: JsonOption = False) -> None:
    import torch

    from avcmr.evaluation.embeddings import embed_test_split, write_embeddings
    from avcmr.evaluation.report.page import render
    from avcmr.evaluation.results import measure
    from avcmr.training.run_folder import RunFolder

    folder = RunFolder(run)
    embedded = embed_test_split(folder)
    write_embeddings(folder.embeddings_file, embedded)
    gpu = torch.cuda.is_available()
    results = measure(folder, embedded, device=torch.device("cuda" if gpu else "cpu"))
    evaluation = results.evaluation
    page = render([results], title=f"avcmr · {results.name}").write_with_figures(folder.report)
    warn(results.warnings)
    if as_json:
        print(json.dumps(evaluation.to_dict() | {"report": str(page)}))
        return
    table = Table("MAP", title=f"{run}: {len(embedded.ids)} test clips")
    row, chance = ["test"], ["chance"]
    for name, value, random in (
        ("audio → visual", evaluation.audio_to_visual.map, evaluation.audio_to_visual.chance),
        ("visual → audio", evaluation.visual_to_audio.map, evaluation.visual_to_audio.chance),
        ("average", evaluation.average_map, evaluation.chance),
    ):
        table.add_column(name, justify="right")
        row.append(f"{value:.3f}")
        chance.append(f"{random:.3f}")
    table.add_row(*row)
    table.add_row(*chance, style="dim")
    console.print(table)
    print(page)
