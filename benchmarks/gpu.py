"""Checks the guarantees of the service on a GPU, and measures its speed there. gpu.sh creates the environment for it.

    python benchmarks/gpu.py --result FILE [--model models/pneumonia/2] [--images FOLDER] [--seconds 20] [--runs 50]

- the running service reports CUDA in /health and in every response, and gives the probabilities of a CPU;
- probabilities on CUDA compared with those of the float32 graph on a CPU, and in batches of each size and alone;
- images per second of the graph alone, by batch size, and the first call of each size compared with later ones;
- the effect of TF32 on probabilities and on images per second;
- images per second and p99 over HTTP (benchmarks/load.py; needs wrk), compared with how many images the CPUs can decode
  and analyse without a GPU (benchmarks/limit.py);
- GPU memory before, with the service under load, and with two models loaded.

Prints one JSON document and writes it to the file. Exits with 1 if a guarantee is violated; ``broken`` lists which.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.gpu_graph import Figures, apart, graph_figures, nvidia, opened, probabilities, used_mib
from benchmarks.machine import machine
from benchmarks.timing import rate
from contract.bundle import read_bundle
from contract.image import to_pixels
from service.inference.session import CUDA
from tests import BUNDLED_MODEL, ROOT
from tests.drawings import chest, encode
from tests.e2e.server import Server, running

import onnxruntime  # isort: skip  after contract, which turns its telemetry off

# Largest differences of a probability. A CPU and a GPU sum in different orders; cuDNN may choose another algorithm for
# another batch size.
FROM_CPU, FROM_ALONE = 1e-4, 1e-5
# Largest ratio of the first call of a size to later ones. Without warm-up the first takes some hundred times longer.
WARM = 5
_SIDES = (1300, 1000)


def decoding(images: list[bytes], seconds: float) -> float:
    """Images per second that the CPUs decode when idle otherwise: an upper bound for the service with any GPU."""
    cycled = (itertools.cycle(images) for _ in os.sched_getaffinity(0))
    return rate([partial(_decode_next, files) for files in cycled], seconds)


def _decode_next(images: Iterator[bytes]) -> None:
    to_pixels(next(images))


def answered(server: Server, images: list[bytes]) -> Figures:
    """What the running service reports about its execution provider, and its probabilities."""
    found, providers = [], set()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        health = client.get("/health").json()
        for image in images:
            answer = client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).json()
            found.append(answer["predictions"][0]["probability"])
            providers.add(answer["provider"])
    return {"health": health, "providers": sorted(providers), "probabilities": found}


def script(name: str, *arguments: str) -> Figures | str:
    """The output of another benchmark, or the reason why it failed."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        return f"failed: {ended.stderr.strip()[-300:]}"
    found: Figures = json.loads(ended.stdout)
    return found


def service_figures(arguments: argparse.Namespace, folder: Path, images: list[bytes], scratch: Path) -> Figures:
    """The figures of the running service; call it before this process opens sessions of its own."""
    began = time.perf_counter()
    with running(arguments.model, scratch, device="cuda") as server:
        ready_s = time.perf_counter() - began
        answers = answered(server, images)
        load: Figures | str = "skipped: wrk is not installed"
        if shutil.which("wrk"):
            rest = ("--images", str(folder), "--seconds", str(arguments.seconds))
            url = f"{server.url}/predict"
            load = {n: script("load.py", url, "--connections", n, *rest) for n in ("1", "32", "128")}
        memory = used_mib()
    return {**answers, "ready_s": round(ready_s, 2), "load_by_connections": load, "gpu_memory_used_mib": memory}


def broken(graph: Figures, service: Figures, expected: NDArray[np.float32]) -> list[str]:
    """The guarantees that are violated; NaN violates its guarantee."""
    found = []
    if graph["provider"] != CUDA or service["providers"] != [CUDA] or service["health"]["provider"] != CUDA:
        found.append("CUDA runs the model, and says so")
    if not graph["probability_cuda_from_cpu"] <= FROM_CPU:
        found.append(f"probabilities of CUDA and CPU are no more than {FROM_CPU} apart")
    if not apart(np.asarray(service["probabilities"], np.float32), expected) <= FROM_CPU:
        found.append(f"those of the service and of a CPU are no more than {FROM_CPU} apart")
    if not np.max(list(graph["probability_in_a_batch_from_alone"].values())) <= FROM_ALONE:
        found.append(f"an image's probability in a batch and alone are no more than {FROM_ALONE} apart")
    cold = [size for size, took in graph["speed"].items() if took["first_ms"] > WARM * took["p99_ms"]]
    if cold:
        found.append(f"every size of batch is warm before it is needed (not: {', '.join(cold)})")
    return found


def parsed() -> argparse.Namespace:
    """The command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    parser.add_argument("--images", type=Path, help="folder of JPEGs; default: generated images")
    parser.add_argument("--seconds", type=float, default=20, help="for each measurement under load")
    parser.add_argument("--runs", type=int, default=50, help="calls of the graph for each batch size")
    return parser.parse_args()


def drawn(folder: Path) -> Path:
    """A folder of drawn radiographs, of the size that X-ray machines produce, and of images of coarse noise.

    The bundled model gives the drawn ones probabilities near 0 or 1, where rounding errors do not show; those of the
    noise images vary.
    """
    folder.mkdir()
    noise = np.random.default_rng(0)
    for seed in range(8):
        (folder / f"{seed}.jpeg").write_bytes(encode(chest(seed, *_SIDES)))
        side = (3, 5, 8, 50)[seed % 4]
        picture = Image.fromarray(noise.integers(0, 256, (side, side), np.uint8)).resize(
            _SIDES, Image.Resampling.BICUBIC
        )
        (folder / f"noise-{seed}.jpeg").write_bytes(encode(picture))
    return folder


def check(arguments: argparse.Namespace, scratch: Path) -> Figures:
    """Run all checks and measurements."""
    folder = arguments.images or drawn(scratch / "drawn")
    images = [path.read_bytes() for path in sorted(folder.rglob("*.jp*g"))[:64]]
    pixels = np.stack([to_pixels(image) for image in images])
    bundle = read_bundle(arguments.model)
    name, driver, total = nvidia("name,driver_version,memory.total")
    before = used_mib()
    service = service_figures(arguments, folder, images[:16], scratch)
    graph = graph_figures(bundle, pixels, arguments.runs)
    expected = probabilities(opened(bundle, device="cpu"), pixels[:16], 1)
    limit = ("--images", str(folder), "--seconds", str(arguments.seconds))
    return {
        **machine(),
        "gpu": {"name": name, "driver": driver, "memory_mib": float(total)},
        "onnxruntime": onnxruntime.__version__,
        "broken": broken(graph, service, expected),
        "gpu_memory_used_before_mib": before,
        "graph": graph,
        "service": service,
        "decoded_per_s": round(decoding(images, min(arguments.seconds, 10)), 1),
        "cpu_alone": script("limit.py", str(arguments.model), *limit),
    }


def main() -> int:
    """Check, print and write the result. Returns the exit code."""
    arguments = parsed()
    with tempfile.TemporaryDirectory() as scratch:
        found = json.dumps(check(arguments, Path(scratch)), indent=2)
    print(found)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(found + "\n")
    return int(bool(json.loads(found)["broken"]))


if __name__ == "__main__":
    sys.exit(main())
