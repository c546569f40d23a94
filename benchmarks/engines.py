"""Compares OpenVINO with onnxruntime on one thread: the int8 and the float32 graph of a bundle.

    python benchmarks/engines.py [models/pneumonia/7] [--images FOLDER] [--rounds 60]

Runs in an environment of its own, created once (``peers/openvino``: 382 MB). All engines are in one process. In each
round each of them gets the same batch once, in an order of chance. For one and four images a batch, prints JSON: median
milliseconds a call, by the clock and of the process's CPU time, and how many times as fast as what is served
(onnxruntime with the int8 graph) in the same round; and the largest difference of a probability from onnxruntime's with
the same graph. OpenVINO would be an extra if it were at least 1.25 times as fast (decision 10).
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.comparison.environments import ENVIRONMENTS, prepare, versions
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.peers.work import Pixels, open_session
from tests import BUNDLED_MODEL

# A batch, uint8 (n, 200, 200, 1), to its probabilities, float32 (n,).
Run = Callable[[Pixels], Any]
Figures = dict[str, Any]
GRAPHS = {"int8": "model.int8.onnx", "float32": "model.onnx"}
SERVED = "onnxruntime, int8"
_ONE_THREAD = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
_SETTINGS = {
    "latency": {**_ONE_THREAD, "PERFORMANCE_HINT": "LATENCY"},
    "one stream": {**_ONE_THREAD, "NUM_STREAMS": "1"},
}
_WARM = 5
# What the service asks for; the graph could also compute a heatmap.
OUTPUTS = ["probability", "features"]


def onnxruntime_run(graph: Path) -> Run:
    """As served: one thread."""
    session = open_session(str(graph), threads=1)
    return lambda batch: session.run(OUTPUTS, {"image": batch})[0]


def openvino_run(graph: Path, settings: dict[str, Any], size: int | None) -> Run:
    """OpenVINO with these settings; ``size``: compiled for this size of batch only."""
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    for result in model.get_results():  # onnxruntime computes what is asked for, OpenVINO whatever has a result
        if not result.input(0).get_source_output().get_names() & set(OUTPUTS):
            model.remove_result(result)
    if size:
        model.reshape({"image": [size, 200, 200, 1]})
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda batch: request.infer({"image": batch})["probability"].copy()


def engines(bundle: Path, size: int) -> dict[str, Run]:
    """All engines for this size of batch, by name: engine, settings if any, graph."""
    found: dict[str, Run] = {}
    for precision, file in GRAPHS.items():
        found[f"onnxruntime, {precision}"] = onnxruntime_run(bundle / file)
        for name, settings in _SETTINGS.items():
            found[f"OpenVINO, {name}, {precision}"] = openvino_run(bundle / file, settings, None)
        found[f"OpenVINO, one stream, one size, {precision}"] = openvino_run(
            bundle / file, _SETTINGS["one stream"], size
        )
    return found


def timed(runs: dict[str, Run], batches: list[Pixels], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """For each engine and round: milliseconds of a call by the clock, and of the process's CPU time."""
    order = random.Random(0)
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(_WARM + rounds):
        batch = batches[number % len(batches)]
        for name in order.sample(list(runs), len(runs)):
            clock, cpu = time.perf_counter(), time.process_time()
            runs[name](batch)
            took[name].append((1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - cpu)))
    return {name: values[_WARM:] for name, values in took.items()}


def figures(bundle: Path, pixels: Pixels, size: int, rounds: int) -> dict[str, Figures]:
    """The figures of all engines for one size of batch."""
    runs = engines(bundle, size)
    batches = [pixels[start : start + size] for start in range(0, len(pixels) - size + 1, size)]
    took, found = timed(runs, batches, rounds), {}
    for name, values in took.items():
        pairs = list(zip(took[SERVED], values, strict=True))
        expected = runs[f"onnxruntime, {name.rpartition(', ')[2]}"]
        found[name] = {
            "wall_ms": round(statistics.median(wall for wall, _ in values), 2),
            "cpu_ms": round(statistics.median(cpu for _, cpu in values), 2),
            "times_as_fast": round(statistics.median(served[0] / own[0] for served, own in pairs), 2),
            "times_as_fast_cpu": round(statistics.median(served[1] / own[1] for served, own in pairs), 2),
            "probability_apart": float(f"{max(abs(runs[name](b) - expected(b)).max() for b in batches):.1e}"),
        }
    return found


def measure(given: argparse.Namespace) -> Figures:
    """All figures; runs in the environment with OpenVINO."""
    from contract.image import to_pixels

    with tempfile.TemporaryDirectory() as scratch:
        images = find_images(given.images, Path(scratch))
        pixels = np.stack([to_pixels(path.read_bytes()) for path in images])
    found = {f"batch {size}": figures(given.bundle, pixels, size, given.rounds) for size in (1, 4)}
    return {**machine(), "images": len(pixels), "versions": versions("openvino"), "engines": found}


def main() -> int:
    """Start in the other environment, or measure there and print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=BUNDLED_MODEL)
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where OpenVINO is installed")
    given = parser.parse_args()
    python = prepare("openvino", given.environments.absolute())
    if not python.parent.parent.samefile(sys.prefix):
        return subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode
    print(json.dumps(measure(given), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
