"""Check what this machine has, and say which commands can run and what the others need.

Exit code 2 if a command cannot run with its defaults.

Example:

    avcmr doctor                        (--json for a machine-readable result on stdout)
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from avcmr.cli.console import console
from avcmr.cli.options import JsonOption, WeightsOption

if TYPE_CHECKING:
    from avcmr.cli.checks import Row

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def command(weights: WeightsOption = None, as_json: JsonOption = False) -> None:
    from avcmr.cli.checks import COMMANDS, all_checks, run

    output = Console(highlight=False, soft_wrap=True)
    rows: list[Row] = []
    missing: dict[str, list[str]] = {name: [] for name in COMMANDS}
    for check in all_checks(weights):
        row = run(check)
        rows.append(row)
        if row.status == "error":
            for name in check.needed_by:
                missing[name].append(row.name)
        if not as_json:
            _print(row, output)
    can_run = [name for name in COMMANDS if not missing[name]]
    if as_json:
        checks = [asdict(row) for row in rows]
        print(json.dumps({"can_run": can_run, "missing": missing, "checks": checks}))
    if can_run:
        console.print(f"can run: {', '.join(can_run)}")
    for name, needs in missing.items():
        if needs:
            console.print(f"cannot run: {name}, which needs {', '.join(needs)}")
    raise typer.Exit(0 if len(can_run) == len(COMMANDS) else 2)


def _print(row: "Row", output: Console) -> None:
    output.print(f"{row.status:<8}", style=_STYLES[row.status], end="")
    output.print(f"{row.name}: {row.found}", markup=False)
    if row.remedy:
        output.print(f"{'':8}→ {row.remedy}", markup=False)
