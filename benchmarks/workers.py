"""Measures several worker processes: requests per second, latency and memory with 1, 2, ... workers.

    python benchmarks/workers.py [--model models/pneumonia/7] [--workers 1 2] [--rounds 5] [--seconds 5]
        [--connections 16] [--images FOLDER] [--device cpu|cuda] [--gpu-memory-bytes N]

One server for each number of workers, side by side. Each round loads one after the other (benchmarks/load.py; needs
wrk), so that other load on the machine affects all alike; an idle server costs next to nothing. `gain` is the rate over
that of the first number of workers in the same round. Besides rate, p50 and p99: the share of requests of the busiest
worker (1 / workers if balanced), the memory of all processes (PSS, which counts shared pages once), CPU time per
request, and how much of it was spent in the threads of the event loops, which hold the GIL. On CUDA each worker has a
session of its own with up to N bytes of GPU memory; `gpu_mib` is how much more nvidia-smi reported once all were ready.
Prints median, minimum and maximum of the rounds, with machine and date, as JSON. The client uses CPU time of the same
machine.
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
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.load import load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import descendants, memory_mib
from benchmarks.measuring.timing import spread
from benchmarks.on_gpu.nvidia import used_mib
from tests import BUNDLED_MODEL
from tests.e2e.server import Server, running

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure(server: Server, images: Sequence[Path], given: argparse.Namespace, seconds: float) -> dict[str, float]:
    """The figures of one round."""
    whole, loop, log_length = *cpu_s(server.process.pid), len(server.log)
    found = load(f"{server.url}/predict", images, given.connections, seconds)
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
    """Wait until all workers are ready.

    Raises:
        RuntimeError: the server ended.
    """
    while server.log.count('"message": "ready"') < count:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended with {server.process.returncode}: {server.log[-300:]}")
        time.sleep(0.05)
    httpx.get(f"{server.url}/health/ready").raise_for_status()


def started(stack: ExitStack, count: int, folder: Path, given: argparse.Namespace) -> tuple[Server, float | None]:
    """A server with this many workers, and the GPU memory that it took in MiB; None without a GPU."""
    folder.mkdir()
    before = used_mib()
    settings: dict[str, Any] = {
        "workers": count,
        "device": given.device,
        "capacity": max(128, 2 * given.connections),  # each worker has a share, and connections are not spread evenly
        "gpu_memory_bytes": given.gpu_memory_bytes,
    }
    server = stack.enter_context(running(given.model.resolve(), folder, **settings))
    await_workers(server, count)
    after = used_mib()
    return server, None if before is None or after is None else after - before


def measured(given: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """The figures of all rounds, by number of workers."""
    (scratch / "images").mkdir()
    images = find_images(given.images, scratch / "images")
    rounds: dict[int, list[dict[str, float]]] = {count: [] for count in given.workers}
    with ExitStack() as stack:
        servers = {count: started(stack, count, scratch / str(count), given) for count in given.workers}
        for turn in range(given.rounds + 1):
            seconds = given.seconds if turn else 1  # the first round is a warm-up
            found = {count: measure(server, images, given, seconds) for count, (server, _) in servers.items()}
            for count, figures in found.items():
                gain = figures["per_second"] / found[given.workers[0]]["per_second"]
                rounds[count] += [{"gain": gain, **figures}] if turn else []
    medians = {
        f"{count} workers": {key: spread([figures[key] for figures in found], 2) for key in found[0]}
        | ({} if servers[count][1] is None else {"gpu_mib": servers[count][1]})
        for count, found in rounds.items()
    }
    return {"device": given.device, "images": len(images), "connections": given.connections, **medians}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--gpu-memory-bytes", type=int, default=4 << 30, help="for the model of each worker")
    add_images(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({**machine(), **measured(given, Path(scratch))}, indent=2))


if __name__ == "__main__":
    main()
