"""Measures `bulk` on this machine: its rate beside the limit of the machine, its memory over many images, its plan.

    python benchmarks/bulk.py rate [--model FOLDER] [--images FOLDER] [--rounds 7] [--repeat 2]
    python benchmarks/bulk.py memory [--count 100000]
    python benchmarks/bulk.py plan [--count 1000000]

``rate``: in each round the limit (benchmarks/limit.py: decoding and inference in one process, in every combination of
callers and threads that could be the best) and then a run of the local engine over the images, the start of its
processes excluded. The median of the paired ratios, and CPU milliseconds an image of both. ``memory``: the memory of
command and workers at a tenth of the images, and at the end. ``plan``: seconds and peak memory of writing the plan
of a CSV. Prints JSON.
"""

import argparse
import csv
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

from benchmarks.images import add_images, find_images
from benchmarks.limit import Engine, combinations
from benchmarks.machine import machine
from benchmarks.peers.work import DECODERS
from benchmarks.processes import cpu_s, memory_mib
from benchmarks.timing import rate, spread
from contract.bundle import read_bundle
from contract.image import to_pixels
from service.bulk.job import Job
from service.bulk.local import run_local
from service.bulk.part import PartCounts
from service.bulk.plan import Plan, rules_for, write_plan
from service.bulk.sources.finding import find_items
from service.bulk.store import open_store
from service.inference import dicom
from service.settings import Settings
from tests.drawings import chest, encode

_PART = 20
_LIMIT_S = 4.0  # of each round


def planned(settings: Settings, source: Path, out: Path, part_size: int) -> Plan:
    """Write the plan of a run, as the command does."""
    bundle = read_bundle(settings.model)
    options = {"part_size": part_size, "batch": 4, "dicom": dicom.is_installed(), "keep_ids": False}
    rules = rules_for(settings, bundle, bundle.manifest.cpu_graph, **options)
    out.mkdir(exist_ok=True)
    return write_plan(open_store(str(out)), rules, find_items([str(source)]))


def write_list(path: Path, uris: Iterator[str]) -> None:
    """A list of images as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri"])
        writer.writerows([uri] for uri in uris)


class Marks:
    """Times and CPU seconds of the workers when parts end, from the moment that all workers are at work."""

    def __init__(self, workers: int) -> None:
        self._first = 2 * workers
        self.parts = self.rows = 0
        self.began = self.ended = (0.0, 0.0)
        self._cpu: dict[int, float] = {}  # of each worker, also of one that has no more to do and has ended

    def done(self, counts: PartCounts) -> None:
        """Count a part."""
        self.parts += 1
        if self.parts <= self._first:
            self.began = time.perf_counter(), self._cpu_of_workers()
        else:
            self.rows += counts.rows
            self.ended = time.perf_counter(), self._cpu_of_workers()

    def figures(self) -> tuple[float, float]:
        """Images per second, and CPU milliseconds an image."""
        seconds, cpu = (end - begin for begin, end in zip(self.began, self.ended, strict=True))
        return self.rows / seconds, 1e3 * cpu / self.rows

    def _cpu_of_workers(self) -> float:
        for child in active_children():
            pid = child.pid or 0
            self._cpu[pid] = cpu_s(pid)
        return sum(self._cpu.values())


def limit(engines: dict[int, Engine], images: Sequence[bytes], cpus: int) -> tuple[float, float]:
    """The best rate of any combination, and its CPU milliseconds an image."""
    found = []
    pairs = list(combinations(cpus))
    for callers, threads in pairs:
        reads = [partial(_read, engines[threads], images, [number * 7]) for number in range(callers)]
        began = time.process_time()
        per_second = rate(reads, _LIMIT_S / len(pairs))
        found.append((per_second, 1e3 * (time.process_time() - began) / (per_second * _LIMIT_S / len(pairs))))
    return max(found)


def _read(engine: Engine, images: Sequence[bytes], position: list[int]) -> None:
    position[0] += 1
    engine.read(images[position[0] % len(images)])


def measure_rate(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The figures of ``rate``."""
    cpus = len(os.sched_getaffinity(0))
    settings = Settings(model=given.model, device="cpu")
    paths = find_images(given.images, scratch)
    images = [path.read_bytes() for path in paths]
    write_list(scratch / "list.csv", (str(path.absolute()) for _ in range(given.repeat) for path in paths))
    contract = read_bundle(settings.model).manifest.image_contract
    DECODERS["bundle"] = partial(to_pixels, contract=contract)
    engines = {threads: Engine(settings.model, None, DECODERS["bundle"], threads) for _, threads in combinations(cpus)}
    rounds = []
    for number in range(given.rounds):
        most, most_cpu = limit(engines, images, cpus)
        out, marks = scratch / f"run{number}", Marks(cpus)
        plan = planned(settings, scratch / "list.csv", out, _PART)
        job = Job(str(out), settings.model_dump(mode="json"), plan.parts, workers=cpus)
        run_local(job, iter(range(plan.parts)), marks.done)
        per_second, cpu = marks.figures()
        rounds.append((per_second / most, per_second, most, cpu, most_cpu, cpu / most_cpu))
        print(f"round {number}: {per_second:.1f} of {most:.1f} images/s", file=sys.stderr)
    names = ("ratio", "local_images_s", "limit_images_s", "local_cpu_ms", "limit_cpu_ms", "cpu_ratio")
    columns = zip(*rounds, strict=True)
    return {"images": len(images), "rounds": given.rounds} | {
        name: spread(values, 3) for name, values in zip(names, columns, strict=True)
    }


def measure_memory(given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The figures of ``memory``."""
    settings = Settings(model=given.model, device="cpu")
    for seed in range(100):
        (scratch / f"{seed}.jpg").write_bytes(encode(chest(seed, 256, 256)))
    write_list(scratch / "list.csv", (str(scratch / f"{number % 100}.jpg") for number in range(given.count)))
    plan = planned(settings, scratch / "list.csv", scratch / "out", 256)
    resident: list[tuple[int, float]] = []
    rows = 0

    def done(counts: PartCounts) -> None:
        nonlocal rows
        rows += counts.rows
        children = (child.pid for child in active_children() if child.pid)
        resident.append((rows, memory_mib([os.getpid(), *children])))

    job = Job(str(scratch / "out"), settings.model_dump(mode="json"), plan.parts, workers=given.workers)
    run_local(job, iter(range(plan.parts)), done)
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
    plan = planned(Settings(model=given.model), scratch / "list.csv", scratch / "out", 256)
    return {
        "items": plan.items,
        "parts": plan.parts,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - before, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "plan_mib": round((scratch / "out" / "_plan.parquet").stat().st_size / 2**20, 1),
    }


_MEASURE: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "rate": measure_rate,
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
    parser.add_argument("--repeat", type=int, default=2, help="how often each image is in the list of `rate`")
    parser.add_argument("--count", type=int, help="images of `memory`, items of `plan`")
    parser.add_argument("--workers", type=int, default=2, help="of `memory`")
    given = parser.parse_args()
    given.count = given.count or {"memory": 100_000, "plan": 1_000_000}.get(given.what)
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({**machine(), **_MEASURE[given.what](given, Path(scratch))}, indent=2))


if __name__ == "__main__":
    main()
