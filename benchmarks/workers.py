"""Measures several worker processes: requests per second, latency and memory with 1, 2, ... workers.

    python benchmarks/workers.py [--workers 1 2] [--rounds 5] [--seconds 5] [--connections 16] [--images FOLDER]
        [--device cpu]

One server with the bundled model for each number of workers, side by side. Each round loads one after the other
(benchmarks/load.py; needs wrk), so that other load on the machine affects all alike; an idle server costs next to
nothing. `gain` is the rate over that of the first number of workers in the same round. Besides rate, p50 and p99: the
share of requests of the busiest worker (1 / workers if balanced), the memory of all processes (PSS, which counts
shared pages once), CPU time per request, and how much of it was spent in the threads of the event loops, which hold the
GIL. Prints median, minimum and maximum of the rounds, with machine and date, as JSON. The client uses CPU time of the
same machine.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.images import add_images, find_images
from benchmarks.load import load
from benchmarks.machine import machine
from benchmarks.processes import descendants, memory_mib
from benchmarks.timing import spread
from tests import BUNDLED_MODEL
from tests.e2e.server import Server, running

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure(server: Server, images: Sequence[Path], connections: int, seconds: float) -> dict[str, float]:
    """The figures of one round."""
    whole, loop, log_length = *cpu_s(server.process.pid), len(server.log)
    found = load(f"{server.url}/predict", images, connections, seconds)
    assert not found.errors, found.errors
    whole_after, loop_after = cpu_s(server.process.pid)
    answered = [json.loads(line) for line in server.log[log_length:].splitlines()]
    by_worker = Counter(line.get("pid") for line in answered if line.get("route") == "/predict")
    return {
        "per_second": found.rate,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "busiest_share": max(by_worker.values()) / by_worker.total(),
        "pss_mib": memory_mib(family(server.process.pid)),
        "cpu_ms": 1e3 * (whole_after - whole) / found.count,
        "event_loop_ms": 1e3 * (loop_after - loop) / found.count,
    }


def family(process: int) -> list[int]:
    """A process and its descendants."""
    return [process, *descendants(process)]


def cpu_s(parent: int) -> tuple[float, float]:
    """CPU seconds of a process and its descendants so far: of all threads, and of the main threads."""
    whole, main = 0.0, 0.0
    for process in family(parent):
        for thread in Path(f"/proc/{process}/task").iterdir():
            words = (thread / "stat").read_text().rpartition(")")[2].split()
            spent = (int(words[11]) + int(words[12])) / _TICKS_PER_S
            whole += spent
            main += spent if thread.name == str(process) else 0
    return whole, main


def await_workers(server: Server, count: int) -> None:
    """Wait until all workers are ready."""
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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_images(parser)
    given = parser.parse_args()
    rounds: dict[int, list[dict[str, float]]] = {count: [] for count in given.workers}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        images, servers = find_images(given.images, Path(name)), {}
        for count in given.workers:
            folder = Path(name) / str(count)
            folder.mkdir()
            servers[count] = stack.enter_context(running(BUNDLED_MODEL, folder, workers=count, device=given.device))
            await_workers(servers[count], count)
        for turn in range(given.rounds + 1):
            seconds = given.seconds if turn else 1  # the first round is a warm-up
            found = {count: measure(server, images, given.connections, seconds) for count, server in servers.items()}
            for count, figures in found.items():
                gain = figures["per_second"] / found[given.workers[0]]["per_second"]
                rounds[count] += [{"gain": gain, **figures}] if turn else []
    medians = {
        f"{count} workers": {key: spread([figures[key] for figures in found], 2) for key in found[0]}
        for count, found in rounds.items()
    }
    print(json.dumps({**machine(), "device": given.device, "images": len(images), **medians}, indent=2))


if __name__ == "__main__":
    main()
