"""The running service on a GPU, for gpu.py: what it reports, its load over HTTP, and the sweep over XRAY_WORKERS."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.measuring.parts import Figures, script
from benchmarks.on_gpu.nvidia import used_mib
from tests.e2e.server import Server, running

_CONNECTIONS = ("1", "32", "128")
# As many as the largest load above; so there are full batches with one worker, and of 16 images with eight.
_SWEEP_CONNECTIONS, _ROUNDS = 128, 3
# What a worker takes beside its model's memory: CUDA's context. Less is set aside than is free, for the driver.
_CONTEXT_MIB, _USABLE = 600, 0.9
_MOST_BYTES, _LEAST_BYTES = 4 << 30, 256 << 20  # the default and the minimum of XRAY_GPU_MEMORY_BYTES


@dataclass(frozen=True, slots=True)
class Run:
    """How the service is measured.

    Attributes:
        device: "cuda"; "cpu" in a dry run.
        total_mib: the GPU's memory.
        model: folder of the bundle.
        images: folder of JPEGs.
        seconds: of each load, and of each number of workers in all rounds.
        workers: numbers of worker processes.
        limit_s: seconds after which a script is given up.
    """

    device: str
    total_mib: float
    model: Path
    images: Path
    seconds: float
    workers: Sequence[int]
    limit_s: float


def answered(server: Server, images: Sequence[bytes]) -> Figures:
    """What the running service reports about its execution provider, and its probabilities."""
    found, providers = [], set()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        health = client.get("/health").json()
        for image in images:
            answer = client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).json()
            found.append(answer["predictions"][0]["probability"])
            providers.add(answer["provider"])
    return {"health": health, "providers": sorted(providers), "probabilities": found}


def service_figures(run: Run, images: Sequence[bytes]) -> Figures:
    """The figures of one process; call it before this process opens sessions of its own."""
    began = time.perf_counter()
    # float32 also in a dry run, since CUDA always runs it.
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(run.model.resolve(), Path(scratch), device=run.device, precision="float32") as server,
    ):
        ready_s = time.perf_counter() - began
        answers = answered(server, images)
        load: Figures | str = "skipped: wrk is not installed"
        if shutil.which("wrk"):
            rest = ("--images", str(run.images), "--seconds", str(run.seconds))
            url = f"{server.url}/predict"
            load = {n: script("load.py", url, "--connections", n, *rest, limit_s=run.limit_s) for n in _CONNECTIONS}
        memory = used_mib()
    return {**answers, "ready_s": round(ready_s, 2), "load_by_connections": load, "gpu_memory_used_mib": memory}


def sweep(run: Run, device: str) -> Figures | str:
    """The figures of workers.py for each number of workers, on the CPUs ("cpu") or each with a session on the GPU."""
    if not shutil.which("wrk"):
        return "skipped: wrk is not installed"
    arguments: dict[str, object] = {
        "rounds": _ROUNDS,
        "seconds": run.seconds / _ROUNDS,
        "connections": _SWEEP_CONNECTIONS,
        "device": device,
        "gpu-memory-bytes": memory_bytes(run.total_mib, sum(run.workers)),
        "model": run.model,
        "images": run.images,
    }
    options = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    return script("workers.py", "--workers", *map(str, run.workers), *options, limit_s=run.limit_s)


def memory_bytes(total_mib: float, workers: int) -> int:
    """XRAY_GPU_MEMORY_BYTES for each of so many workers that run side by side on a GPU with so much memory."""
    share = int(_USABLE * total_mib / workers - _CONTEXT_MIB) << 20
    return min(_MOST_BYTES, max(_LEAST_BYTES, share))


def over_decoding(figures: Figures) -> dict[str, dict[str, float]]:
    """Images per second of each sweep over those that the CPUs decode, by device and number of workers."""
    decoded, found = figures["decoded_per_s"], {}
    for device in ("cpu", "cuda"):
        swept = figures[f"workers_{device}"]
        if isinstance(swept, dict) and isinstance(decoded, float):
            counts = [key for key in swept if key.endswith(" workers")]
            found[device] = {key: round(swept[key]["per_second"][0] / decoded, 3) for key in counts}
    return found
