"""Check that this machine can run avcmr, and say what to do where it cannot.

Exit code 2 if extraction, training and evaluation cannot run with their defaults.

Example:

    avcmr doctor                        (--json for a machine-readable result on stdout)
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.console import console


def command(
    weights: Annotated[
        Path | None, typer.Option(help="Folder of pretrained weights; also $AVCMR_WEIGHTS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON.")] = False,
) -> None:
    from rich.console import Console

    from avcmr.cli.checks import all_checks, run

    output = Console(highlight=False, soft_wrap=True)
    styles = {"ok": "green", "warning": "yellow", "error": "bold red"}
    rows = []
    for row in run(all_checks(weights)):
        rows.append(row)
        if not as_json:
            output.print(f"{row.status:<8}", style=styles[row.status], end="")
            output.print(f"{row.name}: {row.found}", markup=False)
            if row.remedy:
                output.print(f"{'':8}→ {row.remedy}", markup=False)
    errors = sum(row.status == "error" for row in rows)
    warnings = sum(row.status == "warning" for row in rows)
    if as_json:
        print(json.dumps({"ok": not errors, "checks": [asdict(row) for row in rows]}))
    if errors:
        console.print(f"{errors} of {len(rows)} checks failed: avcmr cannot run until they pass")
    else:
        noted = f", {warnings} with a warning" if warnings else ""
        console.print(f"all {len(rows)} checks passed{noted}: avcmr can run")
    raise typer.Exit(2 if errors else 0)
