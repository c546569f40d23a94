"""Measures the options of an onnxruntime session on this machine's CPUs, and compares with OpenVINO.

    python benchmarks/sessions.py models/pneumonia/2 [--rounds 9] [--seconds 1] [--graph model.int8.onnx]

Each variant differs in one option from the first, which is what the service uses under load: one thread per run, and as
many concurrent runs as CPUs. For each: milliseconds to create the session, for one image and for four; images per
second with all CPUs busy; and the memory growth of a process in MiB. All are measured in turn, in several rounds and
each time in another order, so that other load on the machine affects all alike. Prints medians as JSON. OpenVINO is
measured if its package ``openvino`` is installed (it is not a dependency of this project), including the differences of
its probabilities from onnxruntime's.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.machine import machine
from benchmarks.measuring.timing import rate
from contract.bundle import FEATURES, GRAPH, INPUT, INT8_GRAPH, PROBABILITY
from contract.image import to_pixels
from tests.drawings import jpeg
from tests.e2e.server import resident_mib

import onnxruntime  # isort: skip  after contract, which turns its telemetry off

Run = Callable[[np.ndarray[Any, Any]], Any]
# Called once per thread; returns a function that runs the graph on a batch.
Engine = Callable[[], Run]
NAMES = [PROBABILITY, FEATURES]
CPUS = len(os.sched_getaffinity(0))
_LEVELS = onnxruntime.GraphOptimizationLevel


def options(threads: int = 1, **attributes: object) -> onnxruntime.SessionOptions:
    """The session options of the service, with these changes."""
    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads, found.inter_op_num_threads, found.log_severity_level = threads, 1, 3
    entries = {"session.intra_op.allow_spinning": "0"} | attributes.pop("entries", {})  # type: ignore[operator]
    for name, value in entries.items():
        found.add_session_config_entry(name, value)
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


VARIANTS: dict[str, Callable[[], onnxruntime.SessionOptions]] = {
    "served": options,
    "all CPUs a run": partial(options, CPUS),
    "all CPUs a run, spinning": partial(options, CPUS, entries={"session.intra_op.allow_spinning": "1"}),
    "optimised less": partial(options, graph_optimization_level=_LEVELS.ORT_ENABLE_EXTENDED),
    "no arena": partial(options, enable_cpu_mem_arena=False),
    "no memory pattern": partial(options, enable_mem_pattern=False),
    "denormals are zero": partial(options, entries={"session.set_denormal_as_zero": "1"}),
}


def onnx_engine(variant: str, graph: bytes | str) -> Engine:
    """An engine with one session for all threads."""
    session = onnxruntime.InferenceSession(graph, VARIANTS[variant](), providers=["CPUExecutionProvider"])
    return lambda: lambda batch: session.run(NAMES, {INPUT: batch})


def optimised_engine(graph: Path, to: Path) -> Engine:
    """As in the service, but from a graph that was optimised in advance and written to a file."""
    if not to.exists():
        onnxruntime.InferenceSession(graph, options(optimized_model_filepath=str(to)))
    session = onnxruntime.InferenceSession(to, options(graph_optimization_level=_LEVELS.ORT_DISABLE_ALL))
    return lambda: lambda batch: session.run(NAMES, {INPUT: batch})


def openvino_engine(graph: Path, one: bool) -> Engine:
    """OpenVINO without onnxruntime, for any batch size or only for one image; as many streams as CPUs."""
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    if one:
        model.reshape({INPUT: [1, 200, 200, 1]})
    hints = {"INFERENCE_NUM_THREADS": CPUS, "NUM_STREAMS": str(CPUS), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", hints)

    def make() -> Run:
        request = compiled.create_infer_request()

        def run(batch: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
            found = request.infer({INPUT: batch})
            return [found[name].copy() for name in NAMES]

        return run

    return make


def engines_of(graph: Path, scratch: Path) -> dict[str, Callable[[], Engine]]:
    """All variants, by name."""
    found: dict[str, Callable[[], Engine]] = {name: partial(onnx_engine, name, graph.read_bytes()) for name in VARIANTS}
    found["optimised beforehand"] = partial(optimised_engine, graph, scratch / f"optimised-{graph.name}")
    if importlib.util.find_spec("openvino"):
        found["OpenVINO"] = partial(openvino_engine, graph, False)
        found["OpenVINO, one image a batch"] = partial(openvino_engine, graph, True)
    return found


def timed_ms(call: Callable[[], object], times: int = 5) -> float:
    """Median time of a call, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took)


def measure(name: str, engine: Engine, images: np.ndarray[Any, Any], seconds: float) -> dict[str, float]:
    """Measure one variant once."""
    run = engine()
    run(images[:1])
    found = {"lone_ms": timed_ms(lambda: run(images[:1]))}
    if "one image" not in name:
        found["four_ms"] = timed_ms(lambda: run(images[:4]), 3)
    callers = 1 if "all CPUs" in name else CPUS
    return {**found, "images_per_s": rate([partial(engine(), images[:1]) for _ in range(callers)], seconds)}


def grown_mib(arguments: argparse.Namespace, graph: Path, name: str) -> float:
    """Memory growth in MiB of a separate process: by the session, and batches of one and four in two threads."""
    command = [sys.executable, __file__, str(arguments.bundle), "--grow", name, "--graph", graph.name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=arguments.scratch)
    return float(done.stdout)


def grow(make: Callable[[], Engine]) -> None:
    """Runs in the process of ``grown_mib``: print the memory growth."""
    images = drawn(4)
    before = resident_mib(os.getpid())
    engine = make()
    for batch in (images[:1], images):
        rate([partial(engine(), batch) for _ in range(2)], 0.3)
    print(resident_mib(os.getpid()) - before)


def drawn(count: int) -> np.ndarray[Any, Any]:
    """Pixels of drawn radiographs, uint8 (count, 200, 200, 1)."""
    return np.stack([to_pixels(jpeg(seed)) for seed in range(count)])


def figures_of(arguments: argparse.Namespace, graph: Path) -> dict[str, dict[str, float]]:
    """All figures of one graph."""
    images = drawn(8)
    makes = engines_of(graph, arguments.scratch)
    engines = {name: make() for name, make in makes.items()}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    order = random.Random(0)
    for _ in range(arguments.rounds):
        for name, engine in order.sample(list(engines.items()), len(engines)):
            rounds[name].append(
                {"made_ms": timed_ms(makes[name], 1), **measure(name, engine, images, arguments.seconds)}
            )
    expected = engines["served"]()
    found = {}
    for name, values in rounds.items():
        run = engines[name]()
        apart = max(float(abs(run(row[None])[0] - expected(row[None])[0]).max()) for row in images)
        medians = {key: round(statistics.median(figures[key] for figures in values), 2) for key in values[0]}
        grown = {} if "before" in name else {"grown_mib": round(grown_mib(arguments, graph, name), 1)}
        found[name] = {**medians, **grown, "probability_apart": float(f"{apart:.1e}")}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--graph", choices=[GRAPH, INT8_GRAPH], action="append")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--grow", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.bundle = arguments.bundle.resolve()
    graphs = [arguments.bundle / name for name in arguments.graph or [GRAPH, INT8_GRAPH]]
    with tempfile.TemporaryDirectory() as scratch:
        arguments.scratch = Path(scratch)
        if arguments.grow:
            grow(engines_of(graphs[0], arguments.scratch)[arguments.grow])
            return
        figures = {graph.name: figures_of(arguments, graph) for graph in graphs}
    print(json.dumps({**machine(), "onnxruntime": onnxruntime.__version__, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
