"""Measures the cost of the audit log: requests per second and latency with the modes off, on and required.

    python benchmarks/audit.py [--folder FOLDER] [--rounds 5] [--requests 400] [--clients 16]

Three servers with the bundled model run side by side. Each round loads one after the other, so that other load on the
machine affects all three alike. Then it measures the CPU time and memory to verify a chain of ``--lines`` lines. The
folder determines which disk is measured. Prints medians and ranges, with machine and date, as JSON.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.machine import machine
from benchmarks.measuring.timing import percentile, spread
from service.audit.chain import Chain
from service.audit.line import ImageRead
from service.audit.verify import verify_chain
from tests import BUNDLED_MODEL
from tests.drawings import jpeg
from tests.e2e.server import Server, running

_HEADERS = {"Content-Type": "image/jpeg"}
_LINE = {
    "caller": "ward-3",
    "request_id": "0" * 32,
    "route": "/predict",
    "model": "pneumonia",
    "version": "2",
    "graph": "model.int8.onnx",
    "graph_sha256": "0" * 64,
    "provider": "CPUExecutionProvider",
    "operating_point": "balanced",
    "threshold": 0.5,
    "label": "NORMAL",
    "probability": 0.123456789,
    "guard_score": 0.987654321,
}


async def ask(server: Server, requests: int, clients: int) -> dict[str, float]:
    """Requests per second, and the latency in milliseconds: median and 99th percentile."""
    body, took, remaining = jpeg(), list[float](), iter(range(requests))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:

        async def client() -> None:
            for _ in remaining:
                began = time.perf_counter()
                (await http.post("/predict", content=body, headers=_HEADERS)).raise_for_status()
                took.append(1e3 * (time.perf_counter() - began))

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        seconds = time.perf_counter() - began
    return {"per_second": requests / seconds, "p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99)}


def serve(folder: Path, rounds: int, requests: int, clients: int) -> dict[str, dict[str, list[float]]]:
    """The figures of each mode: median, minimum, maximum."""
    with ExitStack() as stack:
        servers = {}
        for mode in ("off", "on", "required"):
            (folder / mode / "audit").mkdir(parents=True)
            context = running(BUNDLED_MODEL, folder / mode, audit=mode, audit_folder=folder / mode / "audit")
            servers[mode] = stack.enter_context(context)
        measured: dict[str, list[dict[str, float]]] = {mode: [] for mode in servers}
        for turn in range(rounds + 1):
            for mode, server in servers.items():
                found = asyncio.run(ask(server, requests, clients))
                measured[mode] += [found] if turn else []  # the first round is a warm-up
    return {
        mode: {name: spread([figures[name] for figures in found], 1) for name in found[0]}
        for mode, found in measured.items()
    }


def verify(folder: Path, lines: int) -> dict[str, float]:
    """CPU seconds to verify a chain of this many lines, and peak memory in MiB."""
    with closing(Chain(folder, 2**26)) as chain:
        for start in range(0, lines, 1000):
            chain.append([ImageRead(image_sha256=f"{start + n:064x}", **_LINE) for n in range(1000)])
    began = time.process_time()
    verdict, _ = verify_chain(folder / "1")
    assert verdict.lines == lines
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"lines": lines, "cpu_s": round(time.process_time() - began, 1), "most_mib": round(most)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--lines", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        (Path(name) / "verified").mkdir()
        figures = {
            f"{given.clients} clients": serve(Path(name) / "many", given.rounds, given.requests, given.clients),
            "one client": serve(Path(name) / "one", given.rounds, given.requests // 2, 1),
            "verify": verify(Path(name) / "verified", given.lines),
        }
    print(json.dumps({**machine(), **figures}, indent=2))


if __name__ == "__main__":
    main()
