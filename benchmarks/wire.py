"""Measures the cost of HTTP: a raw body compared with a form, and health checks and metrics under full load.

    python benchmarks/wire.py [--images FOLDER] [--rounds 100] [--seconds 10]

A file of at least 500 kB (a smaller one is padded with comment segments, which decoders skip) is sent as the raw body
and as a form, in turn, one request at a time; then 16 connections keep the service at its limit while /health and
/metrics are requested ten times a second. Prints JSON: medians in milliseconds, and percentiles of the checks.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.comparison.contenders import DEFAULT, OURS, Contender
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import adopt_orphans, serving
from benchmarks.measuring.timing import percentiles
from tests import ROOT

_BYTES = 500_000
_CHECKS = ("/health", "/metrics")
_CHECK_INTERVAL_S = 0.1
_SEGMENT = 65_533  # largest payload of a JPEG segment in bytes (T.81, B.1.1.4)


def of_size(jpeg: bytes, wanted: int) -> bytes:
    """The same picture in a file of at least ``wanted`` bytes: padded with comment segments after its first marker."""
    padding = b""
    while len(jpeg) + len(padding) < wanted:
        padding += b"\xff\xfe" + (_SEGMENT + 2).to_bytes(2) + bytes(_SEGMENT)
    return jpeg[:2] + padding + jpeg[2:]


def timed(client: httpx.Client, request: httpx.Request) -> float:
    """Latency of one request, in milliseconds.

    Raises:
        httpx.HTTPStatusError: the response is not 200.
    """
    began = time.perf_counter()
    client.send(request).raise_for_status()
    return 1e3 * (time.perf_counter() - began)


def body_and_form(client: httpx.Client, data: bytes, rounds: int) -> dict[str, Any]:
    """The same file as the raw body and as a form, in turn."""
    raw: list[float] = []
    form: list[float] = []
    for _ in range(rounds):
        raw.append(
            timed(
                client, client.build_request("POST", "/predict", content=data, headers={"Content-Type": "image/jpeg"})
            )
        )
        files = {"file": ("xray.jpeg", data, "image/jpeg")}
        form.append(timed(client, client.build_request("POST", "/predict", files=files)))
    overheads = [b - a for a, b in zip(raw, form, strict=True)]
    return {
        "bytes": len(data),
        "body_ms": round(statistics.median(raw), 2),
        "form_ms": round(statistics.median(form), 2),
        "form_dearer_ms": round(statistics.median(overheads), 2),
    }


def checks(client: httpx.Client, url: str, images: list[Path], seconds: int) -> dict[str, Any]:
    """Latencies of /health and /metrics while 16 connections load the service."""
    command = [sys.executable, "benchmarks/load.py", url, "--images", str(images[0].parent.parent)]
    command += ["--seconds", str(seconds)]
    took: dict[str, list[float]] = {path: [] for path in _CHECKS}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as under_load:
        time.sleep(1)
        while under_load.poll() is None:
            for path in _CHECKS:
                took[path].append(timed(client, client.build_request("GET", path)))
            time.sleep(_CHECK_INTERVAL_S)
        figures = json.loads(under_load.stdout.read()) if under_load.stdout else {}
    latencies = {path: {"count": len(found), **percentiles(found)} for path, found in took.items()}
    return {"rate": round(figures["rate"], 1), **latencies}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as scratch:
        images = find_images(given.images, Path(scratch))
        data = of_size(images[0].read_bytes(), _BYTES)
        server = serving(Contender(OURS, DEFAULT), Path(sys.executable), Path(scratch), data)
        with server as found, httpx.Client(base_url=found.url.removesuffix("/predict"), timeout=60) as client:
            sent = body_and_form(client, data, given.rounds)
            checked = checks(client, found.url, images, given.seconds)
    print(json.dumps({**machine(), "sent": sent, "under_load": checked}, indent=2))


if __name__ == "__main__":
    main()
