"""Attacks the service and prints a table: what was tried, what survived, whether every good request was answered.

    make torture                  or: python -m tools.torture [--minutes 25] [--connections 1000] [--no-tests]
                                                              [--store] [--remark TEXT]

First the tests of bad inputs and faults, then attacks on a running service, then fuzzing, in what is left of the time.
An attack that the machine does not allow is listed with the reason. Exits with 1 if anything did not survive.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.measuring.machine import machine as machine_and_date
from tests import BUNDLED_MODEL, ROOT
from tests.drawings import chest, encode
from tests.e2e.server import Server, running
from tools.torture import clients, machine
from tools.torture.fuzzing import NAMES
from tools.torture.outcome import Broken, NotTried, Outcome, Row
from tools.torture.suite import TESTS, run_tests

_RUNS = re.compile(r"Done (\d+) runs")
_ROUND_S, _LEAST_S, _AT_ONCE = 40, 60, 2


def fuzz(name: str, ends: float) -> Row:
    """Fuzz one target until then (``time.monotonic``), in rounds, each in a process of its own."""
    tried, problem, how = 0, "", ""
    with tempfile.TemporaryDirectory() as corpus:
        while not problem and (left := ends - time.monotonic()) > 0:
            options = ["--seconds", str(min(left, _ROUND_S)), "--corpus", corpus]
            command = [sys.executable, "-m", "tools.torture.fuzzing", name, *options]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
            tried += sum(int(count) for count in _RUNS.findall(done.stdout + done.stderr))
            how = "by chance" if "by chance" in done.stdout else "atheris"
            if done.returncode:
                problem = done.stderr.strip()[-300:]
    return Row(f"fuzzing: {name} ({how})", f"{tried} inputs", "no" if problem else "yes", "", problem)


def share_s(left_s: float) -> float:
    """Seconds for each target, two of which are fuzzed at a time, of those that are left; a minute at least."""
    return max(_LEAST_S, left_s * _AT_ONCE / len(NAMES))


def fuzz_all(ends: float) -> Iterator[Row]:
    """Fuzz all targets until then."""
    each_s = share_s(ends - time.monotonic())
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda name: fuzz(name, time.monotonic() + each_s), NAMES)


def attack(name: str, run: Callable[[], Outcome]) -> Row:
    """Run one attack."""
    try:
        shown = run()
    except NotTried as reason:
        return Row(name, "0", "not tried", "", str(reason))
    except (Broken, AssertionError, OSError, httpx.HTTPError, pytest.fail.Exception) as error:
        return Row(name, "?", "no", "", f"{type(error).__name__}: {error}"[:300])
    complete = shown.answered == shown.sent
    answered = f"{shown.answered} of {shown.sent}"
    return Row(name, str(shown.tried), "yes" if complete else "no", answered)


@contextmanager
def served(**settings: Any) -> Iterator[tuple[Server, Path]]:
    """A server of the bundled model with an audit log, and its folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audit").mkdir()
        with running(BUNDLED_MODEL, folder, audit="on", audit_folder=folder / "audit", **settings) as server:
            yield server, folder


def costly_image() -> bytes:
    """A progressive JPEG of a size that is decoded in a process of its own."""
    return encode(np.tile(chest(0, 600, 600), (10, 10)), progressive=True, quality=95)


def attack_all(connections: int) -> Iterator[Row]:
    """All attacks on running services."""
    limits = {"header_s": 5, "upload_s": 5, "max_connections": 3 * connections}
    with served(**limits) as (server, folder):
        yield attack(f"{connections} idle connections", lambda: clients.idle(server, connections))
        yield attack(f"{connections} slow connections", lambda: clients.slow(server, connections))
        yield attack("clients that hang up after the upload", lambda: clients.hang_ups(server, connections // 2))
        yield attack("clients that never read", lambda: clients.never_reads(server, connections // 10))
        yield attack("descriptors exhausted", lambda: machine.descriptors(server, 100))
        yield attack("processes and threads exhausted", lambda: machine.processes(server, costly_image()))
        yield attack("disk full (audit log and stderr)", lambda: machine.full_disk(server, folder / "audit"))
        yield Row("SIGTERM after all of this", "1", "yes" if (code := server.stop()) == 0 else f"exit code {code}", "")
    with tempfile.TemporaryDirectory() as name:
        clock_file = Path(name) / "clock"
        yield attack("clock jumps by an hour and a day", lambda: _with_clock(clock_file))


def _with_clock(clock_file: Path) -> Outcome:
    with mock.patch.dict("os.environ", machine.with_false_clock(clock_file)), served() as (server, _):
        return machine.clock(server, clock_file)


def print_table(rows: list[Row], minutes: float) -> None:
    """Print the table to stdout."""
    table = Table("attack", "tried", "survived", "good requests answered", "remark", title=f"{minutes:.0f} minutes")
    for row in rows:
        table.add_row(row.name, row.tried, row.survived, row.answered, row.problem)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def store(rows: list[Row], minutes: float, remark: str | None) -> None:
    """Write the table to benchmarks/results."""
    result = {
        **machine_and_date(),
        "minutes": round(minutes, 1),
        "remark": remark,
        "rows": [asdict(row) for row in rows],
    }
    path = ROOT / "benchmarks" / "results" / f"{result['date']}-torture.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def main() -> int:
    """Attack, and print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=25, help="for all; fuzzing takes what is left, at least two")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests, which the suite has run")
    parser.add_argument("--remark", help="about the machine, to be stored with the table")
    parser.add_argument("--store", action="store_true", help="write the table to benchmarks/results as well")
    given = parser.parse_args()
    began, rows = time.monotonic(), []

    def add(row: Row) -> None:
        rows.append(row)
        print(f"{row.name}: {row.survived} {row.problem}", file=sys.stderr)

    for row in () if given.no_tests else run_tests(TESTS):
        add(row)
    for row in attack_all(given.connections):
        add(row)
    for row in fuzz_all(began + 60 * given.minutes):
        add(row)
    minutes = (time.monotonic() - began) / 60
    print_table(rows, minutes)
    if given.store:
        store(rows, minutes, given.remark)
    return 1 if any(row.survived not in {"yes", "not tried"} for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
