"""Load test of avcmr serve: lost requests, memory leaks, and the cost of HTTP.

    python benchmarks/serve.py runs/NAME [--clients N] [--seconds S] [--file SOUND]

Starts ``avcmr serve`` and lets 50 clients search by id for a minute, each over one persistent
connection, in both directions, with and without filters. With ``--file`` one more client uploads a
sound repeatedly, with other bytes at its end each time, so that no answer is cached. The status and
the hits of every answer are compared with the retriever's own. The baseline is
``Retriever.search`` in this process, without HTTP, one search after the other.

Clients and server share the machine's cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import get_args
from urllib.parse import quote, urlsplit

from avcmr import Retriever
from avcmr.modality import Find

EVERY = 10.0
"""Seconds between measurements of the server's memory. It grows until caches are filled and threads
started; with a leak it keeps growing."""

TOP = 12


@dataclass
class Tally:
    """Measurements of the clients."""

    latencies: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


Question = tuple[str, list[str]]
"""A path, and the ids that must be found."""


def questions(retriever: Retriever, most: int = 500) -> list[Question]:
    """Searches by id with their answers."""
    collection = retriever.collection
    asked = []
    for row in range(min(len(collection), most)):
        id_, find = collection.ids[row], get_args(Find)[row % 2]
        split = collection.splits[row] if row % 3 == 0 else None
        hits = retriever.search(id=id_, find=find, top=TOP, split=split)
        path = f"/api/search?id={quote(id_, safe='')}&find={find}&top={TOP}"
        asked.append((path + (f"&split={split}" if split else ""), [hit.id for hit in hits]))
    return asked


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, body: bytes = b""
) -> tuple[int, bytes]:
    """One request over a persistent connection: status and body."""
    writer.write(
        f"{head} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def searcher(url: str, asked: list[Question], first: int, end: float, tally: Tally) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for number in count(first):
        if time.monotonic() > end:
            break
        path, expected = asked[number % len(asked)]
        started = time.perf_counter()
        try:
            status, body = await ask(reader, writer, f"GET {path}")
        except (OSError, EOFError, ValueError) as error:
            tally.lost.append(f"{path}: {error!r}")
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            continue
        tally.latencies.append(time.perf_counter() - started)
        if status != 200 or [hit["item"]["id"] for hit in json.loads(body)["hits"]] != expected:
            tally.lost.append(f"{path}: {status} {body[:200]!r}")
    writer.close()


async def uploader(url: str, sound: Path, end: float, tally: Tally) -> None:
    parts = urlsplit(url)
    content = sound.read_bytes()
    for number in count():
        if time.monotonic() > end:
            break
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        started = time.perf_counter()
        status, body = await ask(
            reader, writer, "POST /api/queries", content + number.to_bytes(8, "big")
        )
        tally.uploads.append(time.perf_counter() - started)
        if status != 200:
            tally.lost.append(f"upload: {status} {body[:200]!r}")
        writer.close()


async def load(
    url: str,
    asked: list[Question],
    *,
    clients: int,
    seconds: float,
    sound: Path | None,
    pid: int,
) -> tuple[Tally, list[float]]:
    """The clients' measurements, and the server's megabytes every ``EVERY`` seconds."""
    tally, end = Tally(), time.monotonic() + seconds
    tasks = [
        asyncio.create_task(searcher(url, asked, 37 * one, end, tally)) for one in range(clients)
    ]
    if sound is not None:
        tasks.append(asyncio.create_task(uploader(url, sound, end, tally)))
    memory = [megabytes(pid)]
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=EVERY)
        memory.append(megabytes(pid))
    await asyncio.gather(*tasks)
    return tally, memory


def megabytes(pid: int) -> float:
    """Resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(megabytes(int(one)) for one in children)


def searches_per_second(retriever: Retriever, seconds: float) -> float:
    """Searches a second without a server."""
    ids, found, started = retriever.collection.ids, 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        retriever.search(id=ids[found % len(ids)], find=get_args(Find)[found % 2], top=TOP)
        found += 1
    return found / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    retriever = Retriever.load(options.run)
    asked = questions(retriever)
    alone = searches_per_second(retriever, 5.0)
    command = [sys.executable, "-c", "from avcmr.cli import main; main()", "serve"]
    server = subprocess.Popen(
        [*command, str(options.run), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        started = time.perf_counter()
        tally, memory = asyncio.run(
            load(
                url,
                asked,
                clients=options.clients,
                seconds=options.seconds,
                sound=options.file,
                pid=server.pid,
            )
        )
        took = time.perf_counter() - started
    finally:
        server.terminate()
        server.wait()
    rate = len(tally.latencies) / took
    cuts = statistics.quantiles(tally.latencies, n=100)
    print(f"{retriever.collection!r}, {options.clients} clients for {took:.0f} s")
    print(f"{len(tally.latencies):,} searches, {len(tally.lost)} lost or wrong")
    print(
        f"{rate:.0f} searches/s; latency p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms"
    )
    print(f"Retriever.search alone: {alone:.0f}/s, {alone / rate:.1f} times the server's")
    print(f"memory every {EVERY:g} s, MB: {', '.join(f'{size:.0f}' for size in memory)}")
    if tally.uploads:
        print(f"{len(tally.uploads)} uploads, median {statistics.median(tally.uploads):.2f} s each")
    for one in tally.lost[:5]:
        print(f"lost: {one}")


if __name__ == "__main__":
    main()
