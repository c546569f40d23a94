"""The graph alone on a GPU, for gpu.py: probabilities compared with a CPU, and time by batch size."""

import os
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.timing import percentile
from benchmarks.on_gpu.nvidia import used_mib
from contract.bundle import PROBABILITY, Bundle
from service.inference.session import LiveSession, cuda_of, open_session
from service.inference.threads.cpus import CallPlan
from service.settings import Settings

Figures = dict[str, Any]


def opened(bundle: Bundle, **settings: Any) -> LiveSession:
    """A session opened as in the service. Raises DeviceError if the settings require CUDA and it does not run there."""
    chosen, cpus = Settings(**settings), len(os.sched_getaffinity(0))
    return open_session(bundle, chosen.device, "float32", CallPlan(1, cpus, cpus), cuda_of(chosen))


def probabilities(live: LiveSession, pixels: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """The probabilities of all images, computed in batches of ``size``."""
    parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    return np.concatenate([live.run([PROBABILITY], part)[0] for part in parts])


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest absolute difference; NaN if any value is NaN."""
    return float(np.max(np.abs(one - other)))


def speed(live: LiveSession, pixels: NDArray[np.uint8], sizes: list[int], runs: int) -> dict[str, Figures]:
    """Timings of the graph alone by batch size: the first call, later calls, and images per second."""
    found = {}
    for size in sizes:
        batch = np.resize(pixels, (size, *pixels.shape[1:]))
        took = []
        for _ in range(runs + 1):
            began = time.perf_counter()
            live.run([PROBABILITY], batch)
            took.append(1e3 * (time.perf_counter() - began))
        median = statistics.median(took[1:])
        found[str(size)] = {
            "first_ms": round(took[0], 3),
            "median_ms": round(median, 3),
            "p99_ms": round(percentile(took[1:], 0.99), 3),
            "images_per_s": round(1e3 * size / median),
        }
    return found


def graph_figures(bundle: Bundle, pixels: NDArray[np.uint8], runs: int, device: str = "cuda") -> Figures:
    """All figures that need no server. ``device``: "cpu" for a dry run."""
    cpu, cuda, tf32 = (
        opened(bundle, device="cpu"),
        opened(bundle, device=device),
        opened(bundle, device=device, tf32=True),
    )
    largest = cuda_of(Settings()).max_batch
    # The bucket sizes, and some sizes that are padded to a bucket.
    sizes = [size for size in range(1, largest + 1) if size in {1, 2, 3, 4, 8, 16, 31, 32, largest - 1, largest}]
    pixels = np.resize(pixels, (2 * largest, *pixels.shape[1:]))
    fast = speed(cuda, pixels, sizes, runs)
    expected, alone = probabilities(cpu, pixels, 4), probabilities(cuda, pixels, 1)
    in_batches = {str(size): apart(probabilities(cuda, pixels, size), alone) for size in sizes}
    rounded = probabilities(tf32, pixels, largest)
    return {
        "provider": cuda.provider,
        "probabilities_of_the_images": [
            round(float(value), 4) for value in np.quantile(expected, (0, 0.25, 0.5, 0.75, 1))
        ],
        "probability_cuda_from_cpu": apart(alone, expected),
        "probability_in_a_batch_from_alone": in_batches,
        "speed": fast,
        "tf32": {
            "probability_from_cpu": apart(rounded, expected),
            "speed": speed(tf32, pixels, [1, largest], runs),
        },
        "gpu_memory_used_mib": used_mib(),
    }
