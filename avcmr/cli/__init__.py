"""The command line: the one place that sees all three packages."""

from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

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


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what the user can mend into one line and exit code 2, and Ctrl-C into 130."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except AvcmrError as error:
            _fail(str(error))
        except ClipError as error:
            _fail(error.message)
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except KeyboardInterrupt:
            console.print("interrupted; the same command goes on from here")
            raise typer.Exit(130) from None

    return guarded


def _fail(message: str) -> NoReturn:
    console.print(f"error: {message}", style="bold red", markup=False)
    raise typer.Exit(2) from None


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
    for name, command in group.COMMANDS.items():
        commands.command(name)(_guarded(command))
    app.add_typer(commands, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """Entry point of the ``avcmr`` script."""
    app()
