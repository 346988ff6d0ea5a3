"""The command line, on top of all three packages: a module for each command or group of them."""

import errno
import os
import re
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

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a file is where a folder is needed: check the path",
    errno.EEXIST: "a file is where a folder is needed: check the path",
    errno.EISDIR: "a folder is where a file is needed: check the path",
    errno.EACCES: "change its permissions, or use another path",
    errno.EROFS: "use a path that can be written",
    errno.ENOSPC: "free some space, and run the same command again",
    errno.EDQUOT: "free some space, and run the same command again",
    errno.ENAMETOOLONG: "use a shorter name",
}
"""What to do about what the system says."""

_OUT_OF_MEMORY = re.compile("out of memory|allocate memory")
"""In the words of CUDA and of torch's CPU allocator."""

_debug = ContextVar("debug", default=False)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Report errors in a line or two with exit code 2, and Ctrl-C with 130."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (AvcmrError, ClipError, OSError, MemoryError, RuntimeError) as error:
            message = _message(error)
            if message is None:
                raise
            if _debug.get():
                traceback.print_exc()
            console.print(f"error: {message}", style="bold red", markup=False)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            console.print("interrupted; the same command goes on from here")
            raise typer.Exit(130) from None

    return guarded


def _message(error: Exception) -> str | None:
    """What to tell the user; None of an error that is a fault of ours."""
    match error:
        case ClipError():
            return error.message
        case OSError(filename=str() | bytes() | Path() as file, strerror=str(reason)):
            remedy = _REMEDIES.get(error.errno or 0, "")
            return f"{os.fsdecode(error.filename2 or file)}: {reason}{remedy and f'; {remedy}'}"
        case MemoryError() | RuntimeError():
            reason = str(error).partition("\n")[0]
            if isinstance(error, RuntimeError) and not _OUT_OF_MEMORY.search(reason):
                return None
            return (
                f"not enough memory{reason and f' ({reason})'}; use a smaller network "
                "(model.hidden, model.embedding_dim) or batch_size, end other programs, or use "
                "another machine"
            )
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
