"""The edge, measured: what a request costs there, and what idle, slow and pipelining clients do to a good one.

    python benchmarks/edge.py cost [--rounds 10] [--requests 4000]
    python benchmarks/edge.py attack [--images FOLDER] [--rounds 10] [--asks 100]

``cost``: an application that only takes a body, behind uvicorn's own connections and behind the service's, in turn; CPU
time of the server's process a request, user and system, so that what else the machine does counts little. ``attack``:
the service with its bundled model, without a proxy; the latencies of one good client that sends image after image,
quiet and beside 300 connections that send nothing, 300 that send a byte every two seconds, and 1,000 that send requests
ahead as fast as the service reads them, and never read an answer's end; and the memory of the service. Prints JSON.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import cpu_s
from benchmarks.measuring.timing import percentile, percentiles
from service.edge.connection import Connection
from service.edge.limits import Limits
from service.edge.shared import Edge
from service.telemetry.metrics import Metrics
from tests import BUNDLED_MODEL
from tests.e2e.server import resident_mib, running

_CONNECTIONS = 16
_BODY = bytes(56_000)  # about the size of a radiograph of the data set
_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_SLOW = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
_IDLE_CLIENTS, _SLOW_CLIENTS, _PIPELINING_CLIENTS = 300, 300, 1000


async def take_body(_: Any, receive: Any, send: Any) -> None:
    """The application of ``cost``."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def serve(kind: str, listener: socket.socket) -> None:
    """A server of one kind on this socket, until it is killed."""
    http: Any = partial(Connection, Edge(Limits(), Metrics())) if kind == "service" else "httptools"
    config = uvicorn.Config(take_body, http=http, lifespan="off", ws="none", access_log=False, log_level="error")
    config.proxy_headers = False
    uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def served(kind: str) -> Iterator[tuple[int, int]]:
    """Process id and port of a server of this kind."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=serve, args=(kind, listener), daemon=True)
    process.start()
    try:
        yield process.pid or 0, listener.getsockname()[1]
    finally:
        process.kill()


def ask(connections: list[socket.socket], requests: int) -> None:
    """Send this many requests, one on each connection at a time, and read the answers."""
    for _ in range(requests // len(connections)):
        for connection in connections:
            connection.sendall(_POST)
        for connection in connections:
            while not connection.recv(4096).endswith(b"{}"):
                pass


def cost(rounds: int, requests: int) -> dict[str, Any]:
    """CPU milliseconds a request of both kinds of connections, round by round in turn."""
    spent: dict[str, list[float]] = {"uvicorn": [], "service": []}
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(served(kind)) for kind in spent}
        clients = {
            kind: [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(_CONNECTIONS)]
            for kind, (_, port) in servers.items()
        }
        for connections in clients.values():
            ask(connections, 1000)  # the first ones pay for imports
        for _ in range(rounds):
            for kind, (pid, _) in servers.items():
                before = cpu_s(pid)
                ask(clients[kind], requests)
                spent[kind].append(1e3 * (cpu_s(pid) - before) / requests)
    medians = {kind: round(statistics.median(each), 4) for kind, each in spent.items()}
    return {"cpu_ms_a_request": medians, "ratio": round(medians["service"] / medians["uvicorn"], 3)}


async def idle(port: int) -> None:
    """A client that sends nothing; it comes again when it is closed."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        writer.close()


async def slow(port: int, number: int) -> None:
    """A client that sends a byte every two seconds, half of them in the header."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_SLOW if number % 2 else _SLOW[:30])
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), 2)
            writer.close()


async def pipeline(port: int) -> None:
    """A client that sends requests without end, and reads what it gets."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            reading = asyncio.create_task(reader.read())
            with contextlib.suppress(OSError):
                while not reading.done():
                    writer.write(_GET * 1000)
                    await writer.drain()
            await asyncio.gather(reading, return_exceptions=True)


async def all_of(clients: list[Any]) -> None:
    """Run clients until the process is killed."""
    await asyncio.gather(*clients)


def attack(make: Callable[[], list[Any]]) -> None:
    """Run clients in a process of their own."""
    asyncio.run(all_of(make()))


def latencies(client: httpx.Client, image: bytes, asks: int) -> list[float]:
    """Milliseconds of each of some predictions over one connection."""
    took = []
    for _ in range(asks):
        began = time.perf_counter()
        client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).raise_for_status()
        took.append(1e3 * (time.perf_counter() - began))
    return took


def scenarios(port: int) -> dict[str, Callable[[], list[Any]]]:
    """The clients of each."""
    return {
        "idle": lambda: [idle(port) for _ in range(_IDLE_CLIENTS)],
        "slow": lambda: [slow(port, number) for number in range(_SLOW_CLIENTS)],
        "pipelining": lambda: [pipeline(port) for _ in range(_PIPELINING_CLIENTS)],
    }


def attacked(image: bytes, asks: int, rounds: int) -> dict[str, Any]:
    """A good client quiet, and beside each kind of clients, in turn, since what else the machine does changes."""
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(BUNDLED_MODEL, scratch))
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        latencies(client, image, asks)
        for name, make in scenarios(server.port).items():
            quiet: list[float] = []
            beside: list[float] = []
            grew = 0.0
            for _ in range(rounds):
                before = server.resident_mib()
                quiet += latencies(client, image, asks)
                with attacking(make):
                    beside += latencies(client, image, asks)
                    grew = max(grew, resident_mib(server.process.pid) - before)
            found[name] = {
                "quiet": percentiles(quiet),
                "beside": percentiles(beside),
                "p99_ratio": round(percentile(beside, 0.99) / percentile(quiet, 0.99), 2),
                "memory_grew_mib": round(grew, 1),
            }
    return found


@contextlib.contextmanager
def attacking(make: Callable[[], list[Any]]) -> Iterator[None]:
    """Have clients run in a process of their own, three seconds before the context and as long as it lasts."""
    process = multiprocessing.get_context("fork").Process(target=attack, args=(make,), daemon=True)
    process.start()
    time.sleep(3)
    try:
        yield
    finally:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        time.sleep(1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "attack"])
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--asks", type=int, default=100)
    given = parser.parse_args()
    if given.what == "cost":
        found = cost(given.rounds, given.requests)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            image = find_images(given.images, Path(scratch))[0].read_bytes()
            found = attacked(image, given.asks, given.rounds)
    print(json.dumps({**machine(), given.what: found}, indent=2))


if __name__ == "__main__":
    main()
