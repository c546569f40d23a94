"""Compares our service with plain FastAPI, LitServe, mosec, BentoML, Ray Serve and Triton: same graph, same images.

    python benchmarks/bench.py [--images FOLDER] [--store] [--rounds 3] [--seconds 5] [--only mosec] [--works same]

Each round measures everything in turn, so that other load on the machine affects all alike: for each kind of work the
limit (``limit.py``: decoding and inference in one process, without a server), then each server. A server is started;
its probabilities for a few images are compared with those of the graph; after a warm-up it is loaded with one
connection, then with many; its memory is measured, and it is stopped. Each peer has its own environment, created once.
Prints a table, and JSON with --json.

With --store: writes the record to benchmarks/results, the table to docs/performance.md, the plot to docs/images.
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

from benchmarks.comparison.contenders import NAMES, OURS, WORKS, Contender, Work, contenders
from benchmarks.comparison.environments import ENVIRONMENTS, NoEnvironment, prepare, versions
from benchmarks.comparison.plot import draw
from benchmarks.comparison.summary import (
    PAGE,
    PLOT,
    Record,
    comparisons,
    conditions,
    markdown,
    replace_between_markers,
    tables,
)
from benchmarks.load import LoadError, load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import NotServing, Server, adopt_orphans, ask, descendants, memory_mib, serving
from benchmarks.peers.work import Scorer, decoder_of
from tests import ROOT

_CHECKED = 3
_TOLERANCE = 1e-5
# After wrk has closed its connections, a server may still be working on the last requests.
_SETTLE_S = 0.5
console = Console(stderr=True, width=None if sys.stderr.isatty() else 120)


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a measurement.

    Attributes:
        images: the images to send.
        seconds: under load, for each server in each round.
        alone_s: seconds with one connection.
        warm_s: seconds of warm-up under load.
        limit_s: seconds of the limit for each kind of work in each round.
        connections: number of connections under load.
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
    """Measure a contender once."""
    sample = [path.read_bytes() for path in plan.images[:_CHECKED]]
    python = prepare(contender.name, plan.environments)
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as scratch,
        serving(contender, python, Path(scratch), sample[0]) as server,
    ):
        check(server, contender.work, sample)

        def load_and_settle(connections: int, seconds: float) -> Any:
            found = load(server.url, plan.images, connections, seconds, headers=server.headers)
            time.sleep(_SETTLE_S)
            return found

        load_and_settle(plan.connections, plan.warm_s)
        alone, found = load_and_settle(1, plan.alone_s), load_and_settle(plan.connections, plan.seconds)
        return {
            "start_s": round(server.start_s, 2),
            "rate": round(found.rate, 2),
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
            "alone_ms": alone.p50_ms,
            "memory_mib": round(memory_mib(descendants(os.getpid())), 1),
            "errors": found.errors | alone.errors,
        }


def check(server: Server, work: Work, sample: Sequence[bytes]) -> None:
    """Compare the probabilities of a few images with those of the graph.

    Raises:
        NotServing: a probability differs by more than ``_TOLERANCE``.
    """
    score, decode = Scorer(str(work.model / work.graph), threads=1), decoder_of(work.decode, work.contract)
    for data in sample:
        answered, expected = ask(server.url, data, server.headers), score([decode(data)])[0]
        if abs(answered - expected) > _TOLERANCE:
            raise NotServing(f"answers {answered:.6f}, but the graph gives {expected:.6f}")


def limit(work: Work, plan: Plan) -> Record:
    """Measure the limit once."""
    command = [sys.executable, "benchmarks/limit.py", str(work.model), "--graph", work.graph, "--decode", work.decode]
    command += ["--images", commonpath(plan.images), "--seconds", str(plan.limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise NotServing(f"limit.py: {done.stderr.strip().splitlines()[-1]}")
    found: Record = json.loads(done.stdout)
    return {"rate": found["rate"], "lone_ms": found["lone_ms"]}


def turn(title: str, measurement: Callable[[], Record]) -> Record:
    """Run one measurement. A failure is recorded as its result, and does not stop the others."""
    began = time.monotonic()
    try:
        found = measurement()
    except (NotServing, NoEnvironment, LoadError, httpx.HTTPError, KeyError, ValueError) as error:
        found = {"failed": (str(error) or repr(error)).strip().splitlines()[0]}
    console.print(f"{title}: {found.get('failed') or found['rate']} [dim]({time.monotonic() - began:.0f} s)[/dim]")
    return found


def run(chosen: Sequence[Contender], plan: Plan, rounds: int) -> Record:
    """Run all rounds."""
    works = [work for work in WORKS.values() if any(contender.work == work for contender in chosen)]
    limits: dict[str, list[Record]] = {work.name: [] for work in works}
    found: list[list[Record]] = [[] for _ in chosen]
    for number in range(1, rounds + 1):
        for work in works:
            limits[work.name].append(turn(f"{number} limit, {work.name}", partial(limit, work, plan)))
        for contender, records in zip(chosen, found, strict=True):
            title = f"{number} {contender.name}, {contender.work.name}"
            records.append(turn(title, partial(measure, contender, plan)))
    return {
        "limits": limits,
        "contenders": [
            {"name": contender.name, "work": contender.work.name, "rounds": records}
            for contender, records in zip(chosen, found, strict=True)
        ],
    }


def about(chosen: Sequence[Contender], plan: Plan, rounds: int) -> Record:
    """The conditions of a measurement: machine, parameters, versions."""
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
    """Write a record to the results, the page and the plot."""
    results = ROOT / "benchmarks" / "results" / f"{record['date']}-peers.json"
    results.write_text(json.dumps(record, indent=2) + "\n")
    page = ROOT / PAGE
    draw(record, page.parent / PLOT)
    page.write_text(replace_between_markers(page.read_text(), markdown(record)))


def parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(found)
    found.add_argument(
        "--store", action="store_true", help="store the record, and update docs/performance.md and the plot"
    )
    found.add_argument("--json", action="store_true", help="print the record")
    found.add_argument("--record", type=Path, help="do not measure: show, or store, this record")
    found.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="SERVER", help=", ".join(NAMES))
    found.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--connections", type=int, default=16)
    for name, default, meaning in (
        ("seconds", 5, "seconds under load, for each server in each round"),
        ("alone", 2, "seconds with one connection"),
        ("warm", 1, "seconds of warm-up"),
        ("limit", 6, "seconds of the limit, for each kind of work in each round"),
    ):
        found.add_argument(f"--{name}", type=float, default=default, help=f"{meaning}; default: {default}")
    found.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where the peers are installed")
    return found


def main() -> None:
    """Measure, or load a record, and show it."""
    given = parser().parse_args()
    if given.record:
        record = json.loads(given.record.read_text())
    else:
        adopt_orphans()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind after SIGTERM
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
    for table in tables(record):
        console.print(table)
    console.print(*(f"{title}: {value:.2f}" for title, value in comparisons(record)), conditions(record), sep="\n")


if __name__ == "__main__":
    main()
