"""What several processes give: requests a second, latency and memory with 1, 2, ... workers.

    python benchmarks/workers.py [--workers 1 2] [--rounds 5] [--seconds 5] [--connections 16] [--image FILE]

One server of the bundled model for each number of workers, side by side. Each round loads one after the other, so that
whatever else the machine does falls on all of them; one at rest costs next to nothing. The connections are opened at
once and kept. `gain` is the rate over that of the first number in the same round. Beside it, rate, p50 and p99 of the
client: the share of requests that the busiest worker had (1 / workers is even), the memory of all processes (PSS, which
counts shared pages once), CPU time of a request, and how much of that was spent in the threads of event loops, which
hold the GIL. Prints median, least and most of the rounds, with machine and date, as JSON. The client takes CPU time of
the same machine, too.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.machine import machine
from benchmarks.processes import descendants, memory_mib
from benchmarks.timing import spread
from tests.conftest import BUNDLED_MODEL
from tests.drawings import jpeg
from tests.e2e.server import Server, running

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


async def ask(port: int, image: bytes, until: float) -> list[float]:
    """One connection, one request after the other. Milliseconds of each. Bare of a client's library, to be light."""
    request, took = _HEAD % len(image) + image, []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200 "), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        took.append(1e3 * (time.perf_counter() - began))
    writer.close()
    return took


async def load(port: int, image: bytes, connections: int, seconds: float) -> list[float]:
    """All connections at once. Milliseconds of each request, ascending."""
    until = time.perf_counter() + seconds
    found = await asyncio.gather(*(ask(port, image, until) for _ in range(connections)))
    return sorted(each for one in found for each in one)


def measure(server: Server, image: bytes, connections: int, seconds: float) -> dict[str, float]:
    """The figures of one round."""
    whole, loop, seen = *cpu_s(server.process.pid), len(server.log)
    took = asyncio.run(load(server.port, image, connections, seconds))
    whole_after, loop_after = cpu_s(server.process.pid)
    answered = [json.loads(line) for line in server.log[seen:].splitlines()]
    by_worker = Counter(line.get("pid") for line in answered if line.get("route") == "/predict")
    return {
        "per_second": len(took) / seconds,
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(0.99 * len(took))],
        "busiest_share": max(by_worker.values()) / by_worker.total(),
        "pss_mib": memory_mib(family(server.process.pid)),
        "cpu_ms": 1e3 * (whole_after - whole) / len(took),
        "event_loop_ms": 1e3 * (loop_after - loop) / len(took),
    }


def family(process: int) -> list[int]:
    """A process and those under it."""
    return [process, *descendants(process)]


def cpu_s(parent: int) -> tuple[float, float]:
    """CPU time of all processes so far: of all threads, and of main threads."""
    whole, main = 0.0, 0.0
    for process in family(parent):
        for thread in Path(f"/proc/{process}/task").iterdir():
            words = (thread / "stat").read_text().rpartition(")")[2].split()
            spent = (int(words[11]) + int(words[12])) / _TICKS_PER_S
            whole += spent
            main += spent if thread.name == str(process) else 0
    return whole, main


def await_workers(server: Server, count: int) -> None:
    """Until each of them is ready."""
    while server.log.count('"message": "ready"') < count:
        time.sleep(0.05)
    httpx.get(f"{server.url}/health/ready").raise_for_status()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--image", type=Path)
    given = parser.parse_args()
    image = given.image.read_bytes() if given.image else jpeg()
    rounds: dict[int, list[dict[str, float]]] = {count: [] for count in given.workers}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        servers = {}
        for count in given.workers:
            (Path(name) / str(count)).mkdir()
            servers[count] = stack.enter_context(running(BUNDLED_MODEL, Path(name) / str(count), workers=count))
            await_workers(servers[count], count)
        for turn in range(given.rounds + 1):
            seconds = given.seconds if turn else 1  # the first is to get warm
            found = {count: measure(server, image, given.connections, seconds) for count, server in servers.items()}
            for count, figures in found.items():
                gain = figures["per_second"] / found[given.workers[0]]["per_second"]
                rounds[count] += [{"gain": gain, **figures}] if turn else []
    medians = {
        f"{count} workers": {key: spread([each[key] for each in found], 2) for key in found[0]}
        for count, found in rounds.items()
    }
    print(json.dumps({**machine(), "image_bytes": len(image), **medians}, indent=2))


if __name__ == "__main__":
    main()
