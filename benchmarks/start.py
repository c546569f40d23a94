"""Measures the time from process start to ready, and the memory use of the service.

    python benchmarks/start.py [--runs 5]

Starts the service with the bundled model on a free port, ``--runs`` times; polls /health/ready until it returns 200;
sends single drawn radiographs, then 20 requests of 32. Prints the median and the range, with machine and date, as JSON.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.machine import machine
from tests import ROOT
from tests.drawings import jpeg
from tests.e2e.server import resident_mib

_HEADERS = {"Content-Type": "image/jpeg"}


def measure() -> dict[str, float]:
    """One start: seconds to ready, milliseconds of a lone request, MiB resident when idle and after 640 images."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    command = [sys.executable, "-m", "service", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                await_ready(client)
                ready = time.perf_counter() - began
                return {"ready_s": ready, **load(client, process.pid)}
        finally:
            process.terminate()


def await_ready(client: httpx.Client) -> None:
    """Poll until the service is ready."""
    while True:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.005)


def load(client: httpx.Client, pid: int) -> dict[str, float]:
    """Memory before and after load, and latency."""
    figures = {"rest_mib": resident_mib(pid)}
    image, lone = jpeg(), []
    for _ in range(50):
        began = time.perf_counter()
        client.post("/predict", content=image, headers=_HEADERS).raise_for_status()
        lone.append(1e3 * (time.perf_counter() - began))
    figures["lone_ms"] = statistics.median(lone)
    batch = [("file", ("x", jpeg(seed))) for seed in range(32)]
    for _ in range(20):
        client.post("/predict", files=batch).raise_for_status()
    return {**figures, "after_640_mib": resident_mib(pid)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = [measure() for _ in range(parser.parse_args().runs)]
    figures = {
        name: {
            "median": round(statistics.median(run[name] for run in runs), 2),
            "range": [round(min(run[name] for run in runs), 2), round(max(run[name] for run in runs), 2)],
        }
        for name in runs[0]
    }
    print(json.dumps({**machine(), **figures}, indent=2))


if __name__ == "__main__":
    main()
