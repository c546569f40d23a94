"""Measures the service under overload: open-loop load at fractions and multiples of its capacity.

    python benchmarks/overload.py [--images FOLDER] [--seconds 8] [--rounds 3] [--json]

First the capacity: responses per second with 16 connections in a closed loop. Then requests arrive at random times (a
Poisson process) at 0.5, 0.9, 1.5 and 4 times that rate, whether or not earlier ones are answered, each on a new
connection, as from independent clients. For each load: goodput (200 responses per second during the load) relative to
the capacity; latencies of 200 and of 503 responses, from the time when a request was due; all other results. At the
end, the time from the heaviest load until a single image is answered within twice its normal latency.

The client runs on the same machine and uses some of its CPU time, more under heavier load: ``client_cpus`` is how much.
That time is not available to the service, so ``per_cpu_left`` relates the goodput per CPU that the client left to the
capacity per CPU that its client left.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.comparison.contenders import DEFAULT, OURS, Contender
from benchmarks.load import load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import adopt_orphans, ask, serving
from benchmarks.measuring.timing import percentiles
from service.inference.threads.cpus import usable_cpus

FACTORS = (0.5, 0.9, 1.5, 4.0)
_CONNECTIONS, _CAPACITY_S = 16, 4
_TIMEOUT_S = 20
_PROBES, _PROBE_INTERVAL_S, _RECOVERED = 20, 0.02, 2.0
_HEADERS = (
    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n"
)
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)


@dataclass(slots=True)
class Answers:
    """Latencies in milliseconds of 200 (``good``) and 503 (``refused``) responses, and the number of all other results.

    ``in_time``: number of good responses before ``ends``, the time (of the event loop's clock) at which the load ends.
    """

    ends: float
    in_time: int = 0
    good: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)


class RequestProtocol(asyncio.Protocol):
    """Sends one request and reads the status of the response; the rest of the response is ignored."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Read the status from the first bytes."""
        if not self.status.done():
            self.status.set_result(data[9:12].decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Record a connection that was lost before a response."""
        if not self.status.done():
            self.status.set_result("closed" if exc is None else type(exc).__name__)


async def send_once(host: str, port: int, request: bytes, due: float, answers: Answers) -> None:
    """Send a request, and record the result and its latency, counted from the time when the request was due."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            transport, protocol = await loop.create_connection(lambda: RequestProtocol(request), host, port)
            status = await protocol.status
            transport.close()
    except (TimeoutError, OSError) as error:
        status = type(error).__name__
    took = 1e3 * (loop.time() - due)
    answers.in_time += status == "200" and loop.time() <= answers.ends
    latencies = {"200": answers.good, "503": answers.refused}.get(status)
    if latencies is None:
        answers.other[status] += 1
    else:
        latencies.append(took)


async def offer(url: str, images: Sequence[bytes], rate: float, seconds: float) -> Answers:
    """Open-loop load: send requests at random times, on average ``rate`` per second; returns when all are answered."""
    parts, rng = urlsplit(url), random.Random(1)
    host, port = parts.hostname or "", parts.port or 80
    requests = [
        _HEADERS.format(path=parts.path, host=parts.netloc, length=len(image)).encode() + image for image in images
    ]
    loop = asyncio.get_running_loop()
    due = loop.time()
    answers = Answers(ends=due + seconds)
    async with asyncio.TaskGroup() as group:
        for request in itertools.cycle(requests):
            due += rng.expovariate(rate)
            if due > answers.ends:
                break
            await asyncio.sleep(due - loop.time())
            group.create_task(send_once(host, port, request, due, answers))
    return answers


class Rate(NamedTuple):
    """Responses per second, and the CPUs that the client used meanwhile."""

    per_s: float
    client_cpus: float

    @property
    def per_cpu_left(self) -> float:
        """Responses per second and CPU that the client did not use."""
        return self.per_s / (usable_cpus() - self.client_cpus)


def figures_of(answers: Answers, goodput: Rate, capacity: Rate) -> dict[str, Any]:
    """The figures of one load, as in the JSON."""
    return {
        "goodput": round(goodput.per_s, 1),
        "goodput_over_capacity": round(goodput.per_s / capacity.per_s, 3),
        "per_cpu_left": round(goodput.per_cpu_left / capacity.per_cpu_left, 3),
        **{f"good_{name}": value for name, value in percentiles(answers.good).items()},
        "refused": len(answers.refused),
        **{f"refused_{name}": value for name, value in percentiles(answers.refused).items()},
        "other": dict(answers.other),
        "client_cpus": round(goodput.client_cpus, 2),
    }


def client_s() -> float:
    """CPU time of this process and of the clients that it has waited for, in seconds."""
    return sum(os.times()[:4])


def lone_ms(url: str, image: bytes) -> float:
    """Latency of one request, in milliseconds."""
    began = time.perf_counter()
    ask(url, image)
    return 1e3 * (time.perf_counter() - began)


def recovery_s(url: str, image: bytes, before_ms: float) -> float:
    """Seconds until a single image is answered within twice ``before_ms``."""
    began = time.perf_counter()
    while time.perf_counter() < began + _TIMEOUT_S:
        if lone_ms(url, image) <= _RECOVERED * before_ms:
            return round(time.perf_counter() - began, 3)
        time.sleep(_PROBE_INTERVAL_S)
    raise SystemExit(f"no recovery within {_TIMEOUT_S} s")


def measure(url: str, images: Sequence[Path], seconds: float) -> dict[str, Any]:
    """One round: the capacity, each load, the recovery."""
    bodies = [path.read_bytes() for path in images]
    before = statistics.median(lone_ms(url, bodies[0]) for _ in range(_PROBES))
    began = client_s()
    per_s = load(url, images, _CONNECTIONS, _CAPACITY_S).rate
    capacity = Rate(per_s, (client_s() - began) / _CAPACITY_S)
    loads = {}
    for factor in FACTORS:
        began = client_s()
        answers = uvloop.run(offer(url, bodies, factor * per_s, seconds))
        goodput = Rate(answers.in_time / seconds, (client_s() - began) / seconds)
        loads[str(factor)] = figures_of(answers, goodput, capacity)
        console.print(factor, loads[str(factor)])
    return {
        "capacity": round(per_s, 1),
        "client_cpus": round(capacity.client_cpus, 2),
        "loads": loads,
        "recovery_s": recovery_s(url, bodies[0], before),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--seconds", type=float, default=8, help="for each load")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as scratch:
        images = find_images(given.images, Path(scratch))
        contender = Contender(OURS, DEFAULT)
        with serving(contender, Path(sys.executable), Path(scratch), images[0].read_bytes()) as server:
            rounds = [measure(server.url, images, given.seconds) for _ in range(given.rounds)]
    print(json.dumps({**machine(), "images": len(images), "rounds": rounds}, indent=2))


if __name__ == "__main__":
    main()
