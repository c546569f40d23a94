"""Measures `bulk` on this machine: its rate beside the limit of the machine, its memory over many images, its plan.

    python benchmarks/bulk.py rate [--model FOLDER] [--images FOLDER] [--rounds 7] [--repeat 25]
    python benchmarks/bulk.py workers [the same] [--workers 2]
    build/cluster/bin/python benchmarks/bulk.py ray [the same] [--workers 2]       # see tests/cluster.sh
    python benchmarks/bulk.py memory [--count 100000]
    python benchmarks/bulk.py plan [--count 1000000]

``rate``: in each round the limit (benchmarks/limit.py: decoding and inference in one process, in every combination of
callers and threads that could be the best) and then a run of the local engine. ``workers``: runs of the local engine
with one to ``--workers`` workers. ``ray``: a run of the local engine, then one on a Ray cluster of this machine with as
many nodes of one CPU each; ``cluster_cpu_ms`` is what everything beside the workers takes. Of each figure, the median
over the rounds, its minimum and maximum; ratios are of figures of one round. Of a run, only the time in which all
workers are at work counts: neither the start of an engine, nor the end, when some worker has no next part
(``bulk_runs``).

``memory``: the memory of command and workers at a tenth of the images, and at the end. ``plan``: seconds and peak
memory of writing the plan of a CSV. Prints JSON.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.limit import Engine, combinations
from benchmarks.measuring.bulk_runs import Archive, local_cpu, write_list
from benchmarks.measuring.images import add_images, endless, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import memory_mib
from benchmarks.measuring.ray_cluster import ray_cluster, ray_cpu
from benchmarks.measuring.timing import rate, spread
from service.bulk.local import run_local
from service.bulk.part import PartCounts
from service.bulk.ray_engine import run_ray
from service.settings import Settings
from tests.drawings import chest, encode

Rounds = Iterator[dict[str, float]]
_LIMIT_S = 4.0  # of each round


def limit(engines: dict[int, Engine], images: Sequence[bytes], cpus: int) -> tuple[float, float]:
    """The best rate of any combination, and its CPU milliseconds an image."""
    found = []
    pairs = list(combinations(cpus))
    for callers, threads in pairs:
        reads = [partial(next, map(engines[threads].read, endless(images, n, callers))) for n in range(callers)]
        began = time.process_time()
        per_second = rate(reads, _LIMIT_S / len(pairs))
        found.append((per_second, 1e3 * (time.process_time() - began) / (per_second * _LIMIT_S / len(pairs))))
    return max(found)


def measure_rate(given: argparse.Namespace, archive: Archive, scratch: Path) -> Rounds:
    """The rounds of ``rate``."""
    cpus = len(os.sched_getaffinity(0))
    images = [path.read_bytes() for path in find_images(given.images, scratch)]
    engines = {threads: Engine(given.model, None, "contract", threads) for _, threads in combinations(cpus)}
    for number in range(given.rounds):
        most, most_cpu = limit(engines, images, cpus)
        local = archive.measured(run_local, scratch / f"run{number}", cpus, local_cpu)
        yield {
            "ratio": local.images_s / most,
            "local_images_s": local.images_s,
            "limit_images_s": most,
            "local_cpu_ms": local.cpu_ms,
            "limit_cpu_ms": most_cpu,
            "cpu_ratio": local.cpu_ms / most_cpu,
        }


def measure_ray(given: argparse.Namespace, archive: Archive, scratch: Path) -> Rounds:
    """The rounds of ``ray``."""
    for number in range(given.rounds):
        local = archive.measured(run_local, scratch / f"local{number}", given.workers, local_cpu)
        with ray_cluster(given.workers, scratch / f"ray{number}") as address:
            ray = archive.measured(run_ray, scratch / f"on{number}", given.workers, ray_cpu, address)
        yield {
            "ratio": ray.images_s / local.images_s,
            "ray_images_s": ray.images_s,
            "local_images_s": local.images_s,
            "ray_cpu_ms": ray.cpu_ms,
            "local_cpu_ms": local.cpu_ms,
            "cpu_ratio": ray.cpu_ms / local.cpu_ms,
            "cluster_cpu_ms": ray.beside_cpu_ms,
        }


def measure_workers(given: argparse.Namespace, archive: Archive, scratch: Path) -> Rounds:
    """The rounds of ``workers``."""
    for number in range(given.rounds):
        counts = range(1, given.workers + 1)
        found = [archive.measured(run_local, scratch / f"run{number}-{count}", count, local_cpu) for count in counts]
        yield {f"images_s_{count}": each.images_s for count, each in zip(counts, found, strict=True)} | {
            f"times_one_{count}": each.images_s / found[0].images_s for count, each in zip(counts, found, strict=True)
        }


def measured(measure: Callable[..., Rounds], given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Median, minimum and maximum of each figure over the rounds."""
    paths = find_images(given.images, scratch)
    write_list(scratch / "list.csv", (str(path.absolute()) for _ in range(given.repeat) for path in paths))
    archive = Archive(scratch / "list.csv", Settings(model=given.model, device="cpu"), given.part_size)
    found = []
    for figures in measure(given, archive, scratch):
        found.append(figures)
        print(f"round {len(found)}: {figures}", file=sys.stderr)
    figures_of = {name: spread([each[name] for each in found], 3) for name in found[0]}
    return {"images": len(paths), "rounds": len(found), **figures_of}


def measure_memory(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The figures of ``memory``."""
    for seed in range(100):
        (scratch / f"{seed}.jpg").write_bytes(encode(chest(seed, 256, 256)))
    write_list(scratch / "list.csv", (str(scratch / f"{number % 100}.jpg") for number in range(given.count)))
    archive = Archive(scratch / "list.csv", Settings(model=given.model, device="cpu"), given.part_size)
    plan = archive.planned(scratch / "out")
    resident: list[tuple[int, float]] = []
    rows = 0

    def done(counts: PartCounts) -> None:
        nonlocal rows
        rows += counts.rows
        children = (child.pid for child in active_children() if child.pid)
        resident.append((rows, memory_mib([os.getpid(), *children])))

    run_local(archive.job(scratch / "out", plan, given.workers), range(plan.parts), done)
    near = [_median_near(resident, share * given.count, given.count) for share in (0.1, 0.5, 0.95)]
    return {
        "images": rows,
        "mib_at_10_percent": near[0],
        "mib_at_50_percent": near[1],
        "mib_at_the_end": near[2],
        "ratio": round(near[2] / near[0], 3),
    }


def _median_near(resident: Sequence[tuple[int, float]], rows: float, count: int) -> float:
    """Of the parts around a place; a single one has whatever was just being decoded."""
    return round(statistics.median(mib for done, mib in resident if abs(done - rows) <= count / 20), 1)


def measure_plan(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The figures of ``plan``."""
    names = (f"/archive/2026/{number // 1000:06d}/IM-{number:09d}-0001.dcm" for number in range(given.count))
    write_list(scratch / "list.csv", names)
    began, before = time.perf_counter(), time.process_time()
    plan = Archive(scratch / "list.csv", Settings(model=given.model), given.part_size).planned(scratch / "out")
    return {
        "items": plan.items,
        "parts": plan.parts,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - before, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "plan_mib": round((scratch / "out" / "_plan.parquet").stat().st_size / 2**20, 1),
    }


_MEASURE: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "rate": partial(measured, measure_rate),
    "ray": partial(measured, measure_ray),
    "workers": partial(measured, measure_workers),
    "memory": measure_memory,
    "plan": measure_plan,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=_MEASURE)
    parser.add_argument("--model", type=Path, default=Settings().model, help="folder of a bundle")
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeat", type=int, default=25, help="how often each image is in the list of a rate")
    parser.add_argument("--part-size", type=int, default=256, help="images of a part")
    parser.add_argument("--count", type=int, help="images of `memory`, items of `plan`")
    parser.add_argument("--workers", type=int, default=2, help="of `memory`, most of `workers`, nodes of `ray`")
    given = parser.parse_args()
    given.count = given.count or {"memory": 100_000, "plan": 1_000_000}.get(given.what)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({**machine(), **_MEASURE[given.what](given, Path(scratch))}, indent=2))


if __name__ == "__main__":
    main()
