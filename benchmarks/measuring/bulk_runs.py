"""One run of an engine of `bulk`, measured while all its workers are at work."""

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring.processes import cpu_s
from contract.bundle import read_bundle
from service.bulk.job import Engine, Job
from service.bulk.part import PartCounts
from service.bulk.plan import Plan, write_plan
from service.bulk.rules import rules_for
from service.bulk.sources.finding import find_items
from service.bulk.store import open_store
from service.inference import dicom
from service.settings import Settings


class Cpu(NamedTuple):
    """CPU seconds so far: of each worker, by its process; and of all else that the engine runs."""

    workers: Mapping[int, float]
    beside: float = 0.0


class Figures(NamedTuple):
    """Images per second, and CPU milliseconds an image: of the workers, and of all else that the engine runs."""

    images_s: float
    cpu_ms: float
    beside_cpu_ms: float


class Marks:
    """Measures a run from one end of a part to another.

    The first half of the parts is the start, in which an engine adds its workers. The last two parts a worker are not
    measured either: then some worker may have no next part. The number in between is a multiple of that of the workers,
    so that each is as far in its part at the end as at the beginning.

    Args:
        workers: how many there are.
        parts: of the run.
        cpu: what they have taken so far.

    Raises:
        SystemExit: there are too few parts.
    """

    def __init__(self, workers: int, parts: int, cpu: Callable[[], Cpu]) -> None:
        last = parts - 2 * workers
        measured = (last - parts // 2) // workers * workers
        if measured < 1:
            raise SystemExit(f"{parts} parts are too few for {workers} workers: raise --repeat")
        self._at, self._workers, self._cpu = (last - measured, last), workers, cpu
        self._parts = self._rows = 0
        self._found: list[tuple[float, Cpu]] = []

    def done(self, counts: PartCounts) -> None:
        """Count a part."""
        self._parts += 1
        self._rows += counts.rows if len(self._found) == 1 else 0
        if self._parts in self._at:
            self._found.append((time.perf_counter(), self._cpu()))

    def figures(self) -> Figures:
        """What was measured.

        Raises:
            SystemExit: a worker did less than half of its share.
        """
        (began, before), (ended, after) = self._found
        taken = sorted(each - before.workers.get(pid, 0) for pid, each in after.workers.items())[-self._workers :]
        if len(taken) < self._workers or taken[0] < sum(taken) / len(taken) / 2:
            raise SystemExit(f"not all workers were at work; CPU seconds of each: {taken}")
        beside = after.beside - before.beside
        return Figures(self._rows / (ended - began), *(1e3 * seconds / self._rows for seconds in (sum(taken), beside)))


@dataclass(frozen=True, slots=True)
class Archive:
    """Images to be analysed: their list (a CSV file), the settings, and how many of them a part has."""

    source: Path
    settings: Settings
    part_size: int = 256

    def planned(self, out: Path) -> Plan:
        """Write the plan of a run, as the command does."""
        bundle = read_bundle(self.settings.model)
        options = {"part_size": self.part_size, "batch": 4, "dicom": dicom.is_installed(), "keep_ids": False}
        rules = rules_for(self.settings, bundle, bundle.manifest.cpu_graph, **options)
        out.mkdir()
        return write_plan(open_store(str(out)), rules, find_items([str(self.source)]))

    def job(self, out: Path, plan: Plan, workers: int, address: str | None = None) -> Job:
        """All parts of a plan."""
        return Job(str(out), self.settings.model_dump(mode="json"), plan.parts, workers, address)

    def measured(
        self, engine: Engine, out: Path, workers: int, cpu: Callable[[], Cpu], address: str | None = None
    ) -> Figures:
        """Analyse all images with this many workers."""
        plan = self.planned(out)
        marks = Marks(workers, plan.parts, cpu)
        engine(self.job(out, plan, workers, address), range(plan.parts), marks.done)
        return marks.figures()


def local_cpu() -> Cpu:
    """Of the local engine, whose workers are the children of this process."""
    return Cpu({child.pid: cpu_s(child.pid) for child in active_children() if child.pid})


def write_list(path: Path, uris: Iterator[str]) -> None:
    """A list of images as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri"])
        writer.writerows([uri] for uri in uris)
