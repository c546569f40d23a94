"""Measures the limit of this machine: decoding and inference in one process, without a server.

    python benchmarks/limit.py models/pneumonia/2 [--images FOLDER] [--graph model.onnx] [--decode full] [--seconds 12]

Concurrent callers each decode an image and then run the graph, in every combination of callers and threads per run that
could be the best; in turn and in several rounds, so that other load on the machine affects all alike. In addition, the
latency of one image at a time. Prints JSON: images per second of each combination, the best of them as ``rate``; and as
``lone_ms`` the median of decoding plus inference of one image, with the best number of threads for that.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import add_images, endless, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.timing import rate
from benchmarks.peers.work import DECODERS, decoder_of, open_session
from contract.bundle import FEATURES, INPUT, PROBABILITY, read_bundle

_ROUNDS = 4


class Engine:
    """A decoder and a graph.

    Args:
        folder: of the bundle.
        graph: file name of one of its graphs; None: the bundle's graph for CPUs.
        decode: one of ``DECODERS``.
        threads: per run of the graph.
    """

    def __init__(self, folder: Path, graph: str | None, decode: str, threads: int) -> None:
        bundle = read_bundle(folder)
        name = graph or bundle.manifest.cpu_graph
        self._session = open_session(str(folder / name), threads)
        self._names = [PROBABILITY, FEATURES] if bundle.manifest.input_guard else [PROBABILITY]
        self._decode = decoder_of(decode, bundle.manifest.image_contract)

    def read(self, data: bytes) -> float:
        """Decode an image and run the graph. Returns the seconds that this took."""
        return sum(self.stages(data))

    def stages(self, data: bytes) -> tuple[float, float]:
        """The same; returns the seconds of decoding and of the graph."""
        began = time.perf_counter()
        pixels = self._decode(data)
        decoded = time.perf_counter()
        self._session.run(self._names, {INPUT: pixels[np.newaxis]})
        return decoded - began, time.perf_counter() - decoded


def combinations(cpus: int) -> Iterator[tuple[int, int]]:
    """The pairs of callers and threads per run that could be the best: no idle CPU, at most two threads per CPU."""
    sizes = sorted({1, cpus, *(2**power for power in range(cpus.bit_length()) if 2**power < cpus)})
    for callers in [*sizes, cpus + 1]:
        yield from ((callers, threads) for threads in sizes if cpus <= callers * threads <= 2 * cpus)


def measure(engines: dict[int, Engine], images: Sequence[bytes], seconds: float) -> dict[str, object]:
    """The figures, measured for ``seconds`` seconds in total."""
    rates: dict[tuple[int, int], list[float]] = {pair: [] for pair in combinations(max(engines))}
    lone: dict[int, list[float]] = {threads: [] for threads in engines}
    share = seconds / _ROUNDS / (len(rates) + 1)
    for _ in range(_ROUNDS):
        for (callers, threads), found in rates.items():
            reads = [partial(next, map(engines[threads].read, endless(images, n, callers))) for n in range(callers)]
            found.append(rate(reads, share))
        ends, cycled = time.perf_counter() + share, itertools.cycle(images)
        while time.perf_counter() < ends:
            data = next(cycled)
            for threads, engine in engines.items():
                lone[threads].append(engine.read(data))
    best = {pair: statistics.median(found) for pair, found in rates.items()}
    alone = {threads: 1e3 * statistics.median(found) for threads, found in lone.items()}
    return {
        "rate": round(max(best.values()), 1),
        "lone_ms": round(min(alone.values()), 2),
        "rates": {
            f"{callers} callers, {threads} threads a run": round(value, 1) for (callers, threads), value in best.items()
        },
        "lone_ms_by_threads": {str(threads): round(value, 2) for threads, value in alone.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a bundle")
    add_images(parser)
    parser.add_argument("--graph", help="file in the bundle; default: the bundle's graph for CPUs")
    parser.add_argument("--decode", choices=DECODERS, default="contract")
    parser.add_argument("--seconds", type=float, default=12)
    given = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    sizes = {threads for _, threads in combinations(cpus)}
    with tempfile.TemporaryDirectory() as scratch:
        images = [path.read_bytes() for path in find_images(given.images, Path(scratch))]
    engines = {n: Engine(given.model, given.graph, given.decode, n) for n in sorted(sizes)}
    for engine in engines.values():
        engine.read(images[0])
    print(json.dumps({**machine(), "images": len(images), **measure(engines, images, given.seconds)}, indent=2))


if __name__ == "__main__":
    main()
