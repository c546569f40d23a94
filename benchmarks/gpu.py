"""Checks the guarantees of the service on a GPU, and measures its speed there. gpu.sh creates the environment for it.

    python benchmarks/gpu.py --result FILE [--model models/pneumonia/7] [--images FOLDER] [--seconds 12] [--runs 50]
        [--workers 1 2 4 8] [--dry-run]

- the running service reports CUDA in /health and in every response, and gives the probabilities of a CPU;
- probabilities on CUDA compared with those of the float32 graph on a CPU, and in batches of each size and alone;
- images per second of the graph alone, by batch size, and the first call of each size compared with later ones;
- the effect of TF32 on probabilities and on images per second;
- images per second and p99 over HTTP (benchmarks/load.py; needs wrk), compared with how many images the CPUs can decode
  and analyse without a GPU (benchmarks/limit.py);
- the same with several worker processes, on the CPUs alone and each with a session on the GPU (benchmarks/workers.py);
  ``over_decoding``: their images per second over those that the CPUs decode when they do nothing else;
- GPU memory before, with the service under load, and with two models loaded.

The plan for 16 CPUs, in seconds; in all 295, so that with the installation by gpu.sh a call stays under eight minutes:

    10  decoding alone
    15  the CPUs alone: limit.py
    45  one process: start 5, three loads of 12
    80  workers on the CPUs: starts 15, four numbers of workers in a warm-up of 1 and three rounds of 4
   110  workers on the GPU: starts 45, the same
    35  the graph alone

A part that fails, or takes far longer than planned, leaves the others: its figures are the reason ("failed: ..."), and
the file is written after each part. ``--dry-run`` does all of this on the CPUs, also where there is no GPU, with one
and two workers and for about a second each: it shows that every part runs, and its figures mean nothing.

Prints one JSON document and writes it to the file. Exits with 1 if a guarantee is violated (``broken`` lists which; not
in a dry run) or a part failed (``failed``).
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import endless, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.parts import Figures, Parts, failed, script
from benchmarks.measuring.timing import rate
from benchmarks.on_gpu.graph import apart, graph_figures, opened, probabilities
from benchmarks.on_gpu.nvidia import nvidia, used_mib
from benchmarks.on_gpu.service import Run, over_decoding, service_figures, sweep
from contract.bundle import Bundle, read_bundle
from contract.image import to_pixels
from service.inference.session import CUDA
from service.workers.server import SWITCH_INTERVAL_S
from tests import BUNDLED_MODEL
from tests.drawings import chest, encode

import onnxruntime  # isort: skip  after contract, which turns its telemetry off

# Largest differences of a probability. A CPU and a GPU sum in different orders; cuDNN may choose another algorithm for
# another batch size.
FROM_CPU, FROM_ALONE = 1e-4, 1e-5
# Largest ratio of the first call of a size to later ones. Without warm-up the first takes some hundred times longer.
WARM = 5
_SIDES = (1300, 1000)
_IN_BATCHES, _ASKED = 64, 16
_DRY = {"seconds": 1.0, "runs": 2, "workers": [1, 2]}
# Limit for a script: this multiple of the seconds of the longest one's loads, and this many seconds for starts.
_PATIENCE, _STARTS_S = 2, 120


def decoding(images: Sequence[bytes], decode: Callable[[bytes], object], seconds: float) -> float:
    """Images per second that the CPUs decode when idle otherwise: an upper bound for the service with any GPU."""
    cpus = len(os.sched_getaffinity(0))
    decoded = [map(decode, endless(images, thread, cpus)) for thread in range(cpus)]
    return round(rate([partial(next, each) for each in decoded], seconds), 1)


def broken(graph: Figures, service: Figures, expected: NDArray[np.float32]) -> list[str]:
    """The guarantees that are violated; NaN violates its guarantee."""
    found = []
    if {graph["provider"], service["health"]["provider"], *service["providers"]} != {CUDA}:
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
    parser.add_argument("--seconds", type=float, default=12, help="for each measurement under load")
    parser.add_argument("--runs", type=int, default=50, help="calls of the graph for each batch size")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--dry-run", action="store_true", help="all parts, on the CPUs, for about a second each")
    given = parser.parse_args()
    if given.dry_run:
        vars(given).update(_DRY)
        os.environ["XRAY_MAX_BATCH"] = "4"  # of this process: large batches take long on a CPU
    return given


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


def measure(given: argparse.Namespace, run: Run, parts: Parts) -> None:
    """Run all checks and measurements; what has CUDA in this process comes last, since servers need the memory."""
    images = [path.read_bytes() for path in find_images(run.images, run.images)]
    parts.add(gpu_memory_used_before_mib=used_mib())
    bundle = read_bundle(run.model)
    decode = partial(to_pixels, contract=bundle.manifest.image_contract)
    parts.measure("decoded_per_s", lambda: decoding(images, decode, min(run.seconds, 10)))
    limit = ("--images", str(run.images), "--seconds", str(run.seconds))
    parts.measure("cpu_alone", lambda: script("limit.py", str(run.model), *limit, limit_s=run.limit_s))
    service = parts.measure("service", lambda: service_figures(run, images[:_ASKED]))
    parts.measure("workers_cpu", lambda: sweep(run, "cpu"))
    parts.measure("workers_cuda", lambda: sweep(run, run.device))
    parts.add(over_decoding=over_decoding(parts.figures))
    pixels = np.stack([decode(image) for image in images[:_IN_BATCHES]])
    graph = parts.measure("graph", lambda: graph_figures(bundle, pixels, given.runs, run.device))
    if graph and service and not given.dry_run:
        parts.measure("broken", lambda: broken(graph, service, on_a_cpu(bundle, pixels[:_ASKED])))


def on_a_cpu(bundle: Bundle, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probabilities of the float32 graph on a CPU, each image alone."""
    return probabilities(opened(bundle, device="cpu"), pixels, 1)


def main() -> int:
    """Check, print and write the result. Returns the exit code."""
    given = parsed()
    parts = Parts(given.result)
    parts.add(**machine(), onnxruntime=onnxruntime.__version__, switch_interval_s=SWITCH_INTERVAL_S)
    device, total_mib = "cpu", 0.0
    if not given.dry_run:
        name, driver, total = nvidia("name,driver_version,memory.total")
        device, total_mib = "cuda", float(total)
        parts.add(gpu={"name": name, "driver": driver, "memory_mib": total_mib})
    limit_s = _STARTS_S + _PATIENCE * len(given.workers) * given.seconds
    with tempfile.TemporaryDirectory() as scratch:
        images = given.images or drawn(Path(scratch) / "drawn")
        run = Run(device, total_mib, given.model, images, given.seconds, given.workers, limit_s)
        measure(given, run, parts)
    parts.add(dry_run=given.dry_run, failed=failed(parts.figures))
    print(parts)
    return int(bool(parts.figures.get("broken") or parts.figures["failed"]))


if __name__ == "__main__":
    sys.exit(main())
