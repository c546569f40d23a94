"""Measures the health check while the worst images are decoded: small files that are expensive to decode, many at once.

    python benchmarks/worst.py [--connections 8] [--seconds 20]

A service with the bundled model gets PNGs of 49 million pixels and a JPEG of 99 scans (tests/cases/costly.py) over
several connections, while /health is requested twenty times a second. Prints JSON: milliseconds of /health, quiet and
beside the images, their statuses, and the largest memory of the service and its processes in MiB.
"""

import argparse
import collections
import concurrent.futures
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import descendants, memory_mib
from benchmarks.measuring.timing import percentiles
from tests import BUNDLED_MODEL
from tests.cases.costly import COSTLY
from tests.e2e.server import Server, running

_CHECK_INTERVAL_S = 0.05
_QUIET_S = 5
_TIMEOUT_S = 300


def checks(server: Server, ends: Callable[[], bool]) -> dict[str, Any]:
    """Request /health until the end; the percentiles, and the largest memory meanwhile."""
    took, peak = [], 0.0
    with server.client() as client:
        while not ends():
            began = time.perf_counter()
            client.get("/health").raise_for_status()
            took.append(1e3 * (time.perf_counter() - began))
            pid = server.process.pid
            peak = max(peak, memory_mib([pid, *descendants(pid)]))
            time.sleep(_CHECK_INTERVAL_S)
    return {"count": len(took), **percentiles(took), "max_ms": round(max(took), 1), "memory_mib": round(peak)}


def beside(server: Server, images: Sequence[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """The same while these images are sent, each connection one after the other."""
    ended, statuses = threading.Event(), collections.Counter[int]()

    def send(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=_TIMEOUT_S) as client:
            while not ended.is_set():
                number += 1
                statuses[client.post("/predict", content=images[number % len(images)]).status_code] += 1

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        for number in range(connections):
            pool.submit(send, number)
        until = time.monotonic() + seconds
        figures = checks(server, lambda: time.monotonic() > until)
        ended.set()
    return figures | {"statuses": dict(sorted(statuses.items()))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    images = [make() for make in COSTLY]
    with tempfile.TemporaryDirectory() as scratch, running(BUNDLED_MODEL, Path(scratch), deadline_s=30) as server:
        until = time.monotonic() + _QUIET_S
        quiet = checks(server, lambda: time.monotonic() > until)
        loaded = beside(server, images, given.connections, given.seconds)
    print(json.dumps({**machine(), "quiet": quiet, "beside": loaded}, indent=2))


if __name__ == "__main__":
    main()
