"""Our service beside plain FastAPI, LitServe, mosec, BentoML and Ray Serve: the same ONNX file, the same images.

    python benchmarks/bench.py [--images FOLDER] [--store] [--rounds 3] [--seconds 5] [--only mosec] [--works same]

In each round everything has its turn, so that whatever else the machine does falls on all: for each kind of work the
limit (``limit.py``: decoding and inference in one process, no server), then each server. A server is started; asked a
few images, for which it must answer what the graph answers; after a while to get warm, asked by one connection, then by
many; weighed, and ended. Each peer has an environment of its own, made once. Prints a table, and JSON with --json.

With --store: the record goes to benchmarks/results, the table into docs/performance.md, the plot to docs/images.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import commonpath
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.contenders import NAMES, OURS, WORKS, Contender, Work, contenders
from benchmarks.environments import ENVIRONMENTS, NoEnvironment, prepare, versions
from benchmarks.images import add_images, find_images
from benchmarks.load import LoadError, load
from benchmarks.machine import machine
from benchmarks.peers.work import DECODERS, Scorer
from benchmarks.plot import draw
from benchmarks.processes import NotServing, adopt_orphans, ask, descendants, memory_mib, serving
from benchmarks.summary import PAGE, PLOT, Record, comparisons, markdown, measured, replaced, screen
from tests import ROOT

_CHECKED = 3
_TOLERANCE = 1e-5
# After wrk has closed its connections, a server may still be busy with what was under way.
_SETTLE_S = 0.5
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        images: that are sent.
        seconds: under load, of each server in each round.
        alone_s: with one connection.
        warm_s: under load, before.
        limit_s: of the limit of each kind of work in each round.
        connections: of the load.
        environments: folder of the peers' environments.
    """

    images: Sequence[Path]
    seconds: float
    alone_s: float
    warm_s: float
    limit_s: float
    connections: int
    environments: Path


def measure(contender: Contender, plan: Plan) -> Record:
    """One turn of a contender."""
    sample = [path.read_bytes() for path in plan.images[:_CHECKED]]
    python = prepare(contender.name, plan.environments)
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as scratch,
        serving(contender, python, Path(scratch), sample[0]) as server,
    ):
        check(server.url, contender.work, sample)

        def under_load(connections: int, seconds: float) -> Any:
            found = load(server.url, plan.images, connections, seconds)
            time.sleep(_SETTLE_S)
            return found

        under_load(plan.connections, plan.warm_s)
        alone, found = under_load(1, plan.alone_s), under_load(plan.connections, plan.seconds)
        return {
            "start_s": round(server.start_s, 2),
            "rate": round(found.rate, 2),
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
            "alone_ms": alone.p50_ms,
            "memory_mib": round(memory_mib(descendants(os.getpid())), 1),
            "errors": found.errors | alone.errors,
        }


def check(url: str, work: Work, sample: Sequence[bytes]) -> None:
    """Ask a few images.

    Raises:
        NotServing: a probability is not that of the graph.
    """
    score, decode = Scorer(str(work.model / work.graph), threads=1), DECODERS[work.decode]
    for data in sample:
        answered, right = ask(url, data), score([decode(data)])[0]
        if abs(answered - right) > _TOLERANCE:
            raise NotServing(f"answers {answered:.6f} where the graph answers {right:.6f}")


def limit(work: Work, plan: Plan) -> Record:
    """One turn of the limit."""
    command = [sys.executable, "benchmarks/limit.py", str(work.model), "--graph", work.graph, "--decode", work.decode]
    command += ["--images", commonpath(plan.images), "--seconds", str(plan.limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise NotServing(f"limit.py: {done.stderr.strip().splitlines()[-1]}")
    found: Record = json.loads(done.stdout)
    return {"rate": found["rate"], "lone_ms": found["lone_ms"]}


def turn(told: str, measured_by: Callable[[], Record]) -> Record:
    """What one turn found; a failure is a finding, and loses nothing else."""
    began = time.monotonic()
    try:
        found = measured_by()
    except (NotServing, NoEnvironment, LoadError, httpx.HTTPError, KeyError, ValueError) as error:
        found = {"failed": (str(error) or repr(error)).strip().splitlines()[0]}
    console.print(f"{told}: {found.get('failed') or found['rate']} [dim]({time.monotonic() - began:.0f} s)[/dim]")
    return found


def run(chosen: Sequence[Contender], plan: Plan, rounds: int) -> Record:
    """All rounds."""
    works = [work for work in WORKS.values() if any(contender.work == work for contender in chosen)]
    limits: dict[str, list[Record]] = {work.name: [] for work in works}
    found: list[list[Record]] = [[] for _ in chosen]
    for number in range(1, rounds + 1):
        for work in works:
            limits[work.name].append(turn(f"{number} limit, {work.name}", partial(limit, work, plan)))
        for contender, records in zip(chosen, found, strict=True):
            told = f"{number} {contender.name}, {contender.work.name}"
            records.append(turn(told, partial(measure, contender, plan)))
    return {
        "limits": limits,
        "contenders": [
            {"name": contender.name, "work": contender.work.name, "rounds": records}
            for contender, records in zip(chosen, found, strict=True)
        ],
    }


def about(chosen: Sequence[Contender], plan: Plan, rounds: int) -> Record:
    """What must be known of a measurement."""
    sizes = [path.stat().st_size for path in plan.images]
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return {
        **machine(),
        "how": {
            "rounds": rounds,
            "seconds": plan.seconds,
            "connections": plan.connections,
            "images": len(sizes),
            "mean_bytes": round(sum(sizes) / len(sizes)),
            "load": " ".join(wrk.split()[:2]),
            "ours": "XRAY_DEVICE=cpu XRAY_LOG_LEVEL=warning; for the work same also XRAY_PRECISION=float32",
        },
        "versions": {name: versions(name) for name in sorted({c.name for c in chosen} - {OURS})},
    }


def store(record: Record) -> None:
    """Keep a record where results are kept, and show it where results are shown."""
    results = ROOT / "benchmarks" / "results" / f"{record['date']}-peers.json"
    results.write_text(json.dumps(record, indent=2) + "\n")
    page = ROOT / PAGE
    draw(record, page.parent / PLOT)
    page.write_text(replaced(page.read_text(), markdown(record)))


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(found)
    found.add_argument(
        "--store", action="store_true", help="keep the record, and renew docs/performance.md and the plot"
    )
    found.add_argument("--json", action="store_true", help="print the record")
    found.add_argument("--record", type=Path, help="measure nothing: show, or store, this record")
    found.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="SERVER", help=", ".join(NAMES))
    found.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--connections", type=int, default=16)
    for name, default, told in (
        ("seconds", 5, "under load, of each server in each round"),
        ("alone", 2, "seconds with one connection"),
        ("warm", 1, "seconds under load before"),
        ("limit", 6, "seconds of the limit, for each kind of work in each round"),
    ):
        found.add_argument(f"--{name}", type=float, default=default, help=f"{told}; {default} if not given")
    found.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where the peers are installed")
    return found


def main() -> None:
    """Measure, or take what was measured, and show it."""
    given = parser().parse_args()
    if given.record:
        record = json.loads(given.record.read_text())
    else:
        adopt_orphans()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by it, it also leaves no server behind
        chosen = contenders(given.only, given.works)
        with tempfile.TemporaryDirectory() as scratch:
            images = find_images(given.images, Path(scratch))
            lengths = given.seconds, given.alone, given.warm, given.limit
            plan = Plan(images, *lengths, given.connections, given.environments.absolute())
            record = about(chosen, plan, given.rounds) | run(chosen, plan, given.rounds)
    if given.store:
        store(record)
    if given.json:
        print(json.dumps(record, indent=2))
    for table in screen(record):
        console.print(table)
    console.print(*(f"{told}: {value:.2f}" for told, value in comparisons(record)), measured(record), sep="\n")


if __name__ == "__main__":
    main()
