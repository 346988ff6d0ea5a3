"""Browse a run in the web browser: search by sound, picture or clip, and see and hear the results.

Only this machine can open the page, unless --host says otherwise; there is no password.

Examples:

    avcmr serve runs/NAME

    avcmr serve runs/NAME --port 8080 --open

    avcmr serve runs/NAME --host 0.0.0.0     (for everybody on the network)
"""

import errno
import ipaddress
import socket
import webbrowser
from typing import Annotated

import typer

from avcmr.cli.console import console, warn
from avcmr.cli.options import DeviceOption, GalleryOption, RunArgument, WeightsOption
from preprocessing.errors import SetupError, UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Host names of this machine for itself."""

_MAX_QUERY_SECONDS = 120.0
"""Longer uploads are refused: their frames would fill the memory."""

_MAX_DECODING_SECONDS = 30.0
"""Time limit for decoding an upload."""


def command(
    run: RunArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen on; by default only this machine can connect.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    features: GalleryOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    listening = _listen(host, port)
    import uvicorn

    from avcmr.retrieval.retriever import Retriever
    from avcmr.training.run_folder import RunFolder
    from avcmr.web import create_app
    from preprocessing.media.process import DecodingProcess

    decoding = DecodingProcess(_MAX_DECODING_SECONDS)
    retriever = Retriever.load(
        run,
        features=features,
        weights=weights,
        device=device,
        decoding=decoding,
        max_seconds=_MAX_QUERY_SECONDS,
    )
    warn(retriever.warnings)
    local = _is_loopback(host)
    if not local:
        console.print(f"everybody who can reach {host} can see and hear the clips", style="yellow")
    folder = RunFolder(run)
    app = create_app(
        retriever,
        name=run.resolve().name,
        report=folder.report / "index.html",
        map_file=folder.path / "map.h5",
        decoding=decoding,
        hosts=LOOPBACK if local else ("*",),
    )
    url = _url(listening)
    console.print(f"{retriever.collection!r}; Ctrl-C stops the server", markup=False)
    print(url, flush=True)
    decoding.start()
    if open_:
        webbrowser.open(url)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        decoding.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise UsageError(f"--host {host}: no address of this machine") from None
        raise SetupError(
            f"{host}:{port} cannot be listened on ({error.strerror}); give another --port, "
            "or 0 for a free one"
        ) from None


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
