"""The command line, on top of all three packages: a module for each command or group of them."""

import os
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from avcmr.cli import (
    compare,
    config,
    dataset,
    demo_clips,
    doctor,
    evaluate,
    extract,
    features,
    index,
    report,
    reproduce,
    search,
    serve,
    status,
    train,
    weights,
)
from avcmr.cli.console import console
from preprocessing.errors import AvcmrError, ClipError

__all__ = ["app", "main"]

_debug = ContextVar("debug", default=False)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Report errors in a line or two with exit code 2, and Ctrl-C with 130."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (AvcmrError, ClipError, OSError) as error:
            if _debug.get():
                traceback.print_exc()
            console.print(f"error: {_message(error)}", style="bold red", markup=False)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            console.print("interrupted; the same command goes on from here")
            raise typer.Exit(130) from None

    return guarded


def _message(error: Exception) -> str:
    match error:
        case ClipError():
            return error.message
        case OSError(filename=str() | bytes() | Path() as file, strerror=str(reason)):
            return f"{os.fsdecode(file)}: {reason}"
    return str(error) or type(error).__name__


app = typer.Typer(
    name="avcmr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From raw videos to a trained audio-visual retrieval engine. "
    "Exit codes: 0 done, 1 done but some clips failed, 2 something must be changed first, "
    "130 interrupted.",
)


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="AVCMR_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Options of all commands."""
    _debug.set(debug)


for module in (
    extract,
    train,
    evaluate,
    report,
    index,
    search,
    serve,
    status,
    compare,
    reproduce,
    demo_clips,
    doctor,
):
    app.command(module.__name__.rpartition(".")[2].replace("_", "-"), help=module.__doc__)(
        _guarded(module.command)
    )
for group in (dataset, features, weights, config):
    commands = typer.Typer(help=group.__doc__, no_args_is_help=True, rich_markup_mode="markdown")
    for command in group.COMMANDS:
        commands.command(command.__name__.strip("_"))(_guarded(command))
    app.add_typer(commands, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """Entry point of the ``avcmr`` script."""
    app()
