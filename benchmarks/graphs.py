"""Compares the graphs of a bundle on a CPU: float32, int8, and the extra cost of a heatmap.

    python benchmarks/graphs.py models/pneumonia/2 [models/pneumonia/1 ...] [--runs 40]

Runs every graph of the bundles in one process, in turn, ``--runs`` times: with one and four images per batch, on one
thread and on all CPUs. Prints medians in milliseconds, with machine and date, as JSON.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.machine import machine
from benchmarks.peers.work import open_session
from contract.bundle import FEATURES, GRAPH, HEATMAP, INPUT, INT8_GRAPH, PROBABILITY, read_bundle

import onnxruntime  # isort: skip  after contract, which turns its telemetry off

Run = Callable[[], object]


def runs_of(folder: Path, threads: int, batch: int) -> dict[str, Run]:
    """The timed calls of a bundle, by name: each graph with the outputs that the service uses, and with the heatmap."""
    bundle = read_bundle(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 200, 200, 1), np.uint8)
    found: dict[str, Run] = {}
    for name, graph in ((GRAPH, bundle.graph), (INT8_GRAPH, bundle.int8_graph)):
        if graph is None:
            continue
        opened = open_session(graph, threads)
        served = [PROBABILITY, FEATURES] if bundle.manifest.input_guard else [PROBABILITY]
        for title, outputs in (("", served), (" with heatmap", [*served, HEATMAP])):
            found[f"{folder.name}/{name}{title}"] = partial(opened.run, outputs, {INPUT: pixels})
    return found


def medians(runs: dict[str, Run], times: int) -> dict[str, float]:
    """Median milliseconds of each call, interleaved, so that other load on the machine affects all alike."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(times + 3):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            took[name].append(1e3 * (time.perf_counter() - began))
    return {name: round(statistics.median(values[3:]), 3) for name, values in took.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    arguments = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    figures = {}
    for threads in sorted({1, cpus}):
        for batch in (1, 4):
            runs: dict[str, Run] = {}
            for folder in arguments.bundles:
                runs |= runs_of(folder, threads, batch)
            figures[f"{threads} thread(s), batch {batch}"] = medians(runs, arguments.runs)
    print(json.dumps({**machine(), "onnxruntime": onnxruntime.__version__, "milliseconds": figures}, indent=2))


if __name__ == "__main__":
    main()
