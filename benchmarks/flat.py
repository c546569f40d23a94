"""Measures whether the cost of an image is independent of how it is sent, and whether memory use stays constant.

    python benchmarks/flat.py [--images FOLDER] [--requests 20000] [--seconds 5]

First the memory (PSS) of the idle service, before, during and after ``--requests`` requests. Then images per second
with 1 to 512 connections and one image per request, and with 1 to 64 images per request, in turn, in several rounds.
Prints JSON.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.comparison.contenders import DEFAULT, OURS, Contender
from benchmarks.load import load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import adopt_orphans, descendants, memory_mib, serving
from benchmarks.measuring.timing import rate

CONNECTIONS = (1, 4, 16, 64, 256, 512)
IMAGES = (1, 4, 16, 64)
_ROUNDS, _CLIENTS, _SETTLE_S = 3, 4, 1.0
_CHUNKS = 5


def by_connections(url: str, images: Sequence[Path], seconds: float) -> dict[str, Any]:
    """Images per second by number of connections; the errors are requests rejected above XRAY_CAPACITY."""
    rates: dict[int, list[float]] = {count: [] for count in CONNECTIONS}
    rejected: dict[int, int] = dict.fromkeys(CONNECTIONS, 0)
    for _, count in itertools.product(range(_ROUNDS), CONNECTIONS):
        found = load(url, images, count, seconds)
        errors = sum(found.errors.values())
        rates[count].append((found.count - errors) * found.rate / found.count)
        rejected[count] += errors
    return {
        str(count): {"rate": round(statistics.median(rates[count]), 1), "errors": rejected[count]}
        for count in CONNECTIONS
    }


def by_images(url: str, images: Sequence[Path], seconds: float) -> dict[str, float]:
    """Images per second by number of images per request."""
    bodies = [path.read_bytes() for path in images]
    rates: dict[int, list[float]] = {count: [] for count in IMAGES}
    with httpx.Client(timeout=60) as client:

        def send(files: list[tuple[str, tuple[str, bytes, str]]]) -> None:
            client.post(url, files=files).raise_for_status()

        for _, count in itertools.product(range(_ROUNDS), IMAGES):
            batch = [
                ("file", ("xray.jpeg", data, "image/jpeg")) for data in itertools.islice(itertools.cycle(bodies), count)
            ]
            # Never more images in flight than XRAY_CAPACITY admits.
            clients = min(_CLIENTS, max(IMAGES) // count)
            rates[count].append(count * rate([partial(send, batch)] * clients, seconds))
    return {str(count): round(statistics.median(found), 1) for count, found in rates.items()}


def memory(url: str, images: Sequence[Path], requests: int) -> list[dict[str, float]]:
    """Memory of the idle service, measured repeatedly until at least ``requests`` requests are answered."""

    def measure(done: int) -> dict[str, float]:
        time.sleep(_SETTLE_S)
        return {"requests": done, "mib": round(memory_mib(descendants(os.getpid())), 1)}

    done, measured = 0, [measure(0)]
    while done < requests:
        until = done + requests // _CHUNKS
        while done < until:
            done += load(url, images, 16, 10).count
        measured.append(measure(done))
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as scratch:
        images = find_images(given.images, Path(scratch))
        first = images[0].read_bytes()
        with serving(Contender(OURS, DEFAULT), Path(sys.executable), Path(scratch), first) as server:
            memory_use = memory(server.url, images, given.requests)
            found = {
                "connections": by_connections(server.url, images, given.seconds),
                "images_a_request": by_images(server.url, images, given.seconds),
            }
    print(json.dumps({**machine(), "images": len(images), **found, "memory": memory_use}, indent=2))


if __name__ == "__main__":
    main()
