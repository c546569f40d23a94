"""Whether an image costs the same however it comes, and whether memory stays what it is.

    python benchmarks/flat.py [--images FOLDER] [--requests 20000] [--seconds 5]

So many requests, and the memory (PSS) of the service at rest before, on the way, and after. Then 1 to 512 connections
with one image a request, and 1 to 64 images a request: images a second of each, in turn, several rounds. Prints JSON.
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

from benchmarks.contenders import DEFAULT, OURS, Contender
from benchmarks.images import add_images, find_images
from benchmarks.load import load
from benchmarks.machine import machine
from benchmarks.processes import adopt_orphans, descendants, memory_mib, serving
from benchmarks.timing import rate

CONNECTIONS = (1, 4, 16, 64, 256, 512)
IMAGES = (1, 4, 16, 64)
_ROUNDS, _CLIENTS, _SETTLE_S = 3, 4, 1.0
_CHUNKS = 5


def by_connections(url: str, images: Sequence[Path], seconds: float) -> dict[str, Any]:
    """Images a second by how many connections ask; the errors are refusals where more come than there are seats."""
    rates: dict[int, list[float]] = {count: [] for count in CONNECTIONS}
    refused: dict[int, int] = dict.fromkeys(CONNECTIONS, 0)
    for _, count in itertools.product(range(_ROUNDS), CONNECTIONS):
        found = load(url, images, count, seconds)
        wrong = sum(found.errors.values())
        rates[count].append((found.count - wrong) * found.rate / found.count)
        refused[count] += wrong
    return {
        str(count): {"rate": round(statistics.median(rates[count]), 1), "errors": refused[count]}
        for count in CONNECTIONS
    }


def by_images(url: str, images: Sequence[Path], seconds: float) -> dict[str, float]:
    """Images a second by how many are in a request."""
    bodies = [path.read_bytes() for path in images]
    rates: dict[int, list[float]] = {count: [] for count in IMAGES}
    with httpx.Client(timeout=60) as client:

        def send(files: list[tuple[str, tuple[str, bytes, str]]]) -> None:
            client.post(url, files=files).raise_for_status()

        for _, count in itertools.product(range(_ROUNDS), IMAGES):
            batch = [
                ("file", ("xray.jpeg", data, "image/jpeg")) for data in itertools.islice(itertools.cycle(bodies), count)
            ]
            # Never more images at a time than there are seats.
            clients = min(_CLIENTS, max(IMAGES) // count)
            rates[count].append(count * rate([partial(send, batch)] * clients, seconds))
    return {str(count): round(statistics.median(found), 1) for count, found in rates.items()}


def memory(url: str, images: Sequence[Path], requests: int) -> list[dict[str, float]]:
    """Memory at rest, again and again, until at least so many requests are answered."""

    def weigh(done: int) -> dict[str, float]:
        time.sleep(_SETTLE_S)
        return {"requests": done, "mib": round(memory_mib(descendants(os.getpid())), 1)}

    done, seen = 0, [weigh(0)]
    while done < requests:
        until = done + requests // _CHUNKS
        while done < until:
            done += load(url, images, 16, 10).count
        seen.append(weigh(done))
    return seen


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
            weighed = memory(server.url, images, given.requests)
            found = {
                "connections": by_connections(server.url, images, given.seconds),
                "images_a_request": by_images(server.url, images, given.seconds),
            }
    print(json.dumps({**machine(), "images": len(images), **found, "memory": weighed}, indent=2))


if __name__ == "__main__":
    main()
