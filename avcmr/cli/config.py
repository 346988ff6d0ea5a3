"""Show, check and compare settings.

Settings are named by a YAML file, the folder of a run, or a preset (avcmr config presets).
"""

from pathlib import Path
from typing import Annotated

import typer

from avcmr.cli.options import ConfigOption, OverridesArgument
from preprocessing.errors import AvcmrError, UsageError


def show(overrides: OverridesArgument = None, config: ConfigOption = None) -> None:
    """Print the complete settings as YAML: defaults, then the file, then key=value.

    Example:

        avcmr config show --config ave stage1.margin=0.3 > mine.yaml
    """
    from avcmr.config_files import load_config

    print(load_config(config, overrides or ()).to_yaml(), end="")


def validate(
    configs: Annotated[
        list[Path], typer.Argument(help="YAML files of settings, folders of runs, or presets.")
    ],
) -> None:
    """Name everything that is wrong in some files of settings, all at once.

    Example:

        avcmr config validate ave configs/*.yaml
    """
    from avcmr.config_files import load_config

    faults = []
    for path in configs:
        try:
            load_config(path)
        except AvcmrError as error:
            faults.append(str(error))
        else:
            print(f"{path}: valid")
    if faults:
        raise UsageError("\n".join(faults))


def diff(
    first: Annotated[Path, typer.Argument(help="YAML file, folder of a run, or preset.")],
    second: Annotated[
        Path | None, typer.Argument(help="Another; by default the built-in defaults come first.")
    ] = None,
) -> None:
    """Print the settings in which two differ; exit code 1 if there are any.

    Examples:

        avcmr config diff ave vegas

        avcmr config diff runs/old runs/new

        avcmr config diff paper             (how it differs from the defaults)
    """
    from avcmr.config_files import differences, load_config

    old = load_config(first if second else None)
    changed = differences(old, load_config(second or first))
    for line in changed:
        print(line)
    raise typer.Exit(1 if changed else 0)


def presets() -> None:
    """List the presets: their names, and the files in which each setting is explained."""
    from avcmr import config_files

    for name, path in config_files.presets().items():
        print(f"{name:<8}{path}")


COMMANDS = (show, validate, diff, presets)
