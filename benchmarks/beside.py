"""Measures this checkout beside a revision of it: the rate at 16 connections, its CPU time, and a lone answer.

    python benchmarks/beside.py REVISION [--model models/pneumonia/7] [--images FOLDER] [--rounds 10] [--seconds 5]

The revision is checked out into a temporary folder. Both services run with the same model and the same environment; in
each round each is loaded with wrk and then sent 50 images one at a time, in turn and in changing order, because what
else the machine does changes. Prints JSON: medians over the rounds, and the median of the ratios within a round
(this checkout to the revision).
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.load import load
from benchmarks.lone import by_request
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import cpu_s
from tests import BUNDLED_MODEL, ROOT
from tests.e2e.server import Server, running

_CONNECTIONS = 16
_LONE = 50
_THIS, _REVISION = "this", "revision"


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """A worktree of a revision, removed at the end."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def figures(server: Server, images: Sequence[Path], seconds: int) -> dict[str, float]:
    """Images per second at 16 connections, CPU milliseconds of the service an image, and milliseconds of a lone one."""
    before = cpu_s(server.process.pid)
    loaded = load(f"{server.url}/predict", images, _CONNECTIONS, seconds)
    spent_s = cpu_s(server.process.pid) - before
    if loaded.errors:
        raise SystemExit(f"not every request was answered: {loaded.errors}\n{server.log}")
    send = by_request(server.port)
    lone = [send(path.read_bytes()).whole for path in itertools.islice(itertools.cycle(images), _LONE)]
    return {"rate": loaded.rate, "cpu_ms": 1e3 * spent_s / loaded.count, "lone_ms": statistics.median(lone)}


def compare(
    servers: dict[str, Server], images: Sequence[Path], seconds: int, rounds: int
) -> dict[str, dict[str, float]]:
    """The medians of each service, and of the ratios."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for server in servers.values():
        figures(server, images, 1)  # the first images pay for warming up
    for number in range(rounds):
        order = list(servers) if number % 2 else list(reversed(servers))
        for name in order:
            found[name].append(figures(servers[name], images, seconds))
    kinds = list(found[_THIS][0])
    pairs = list(zip(found[_THIS], found[_REVISION], strict=True))
    medians = {name: {kind: _median(each[kind] for each in rows) for kind in kinds} for name, rows in found.items()}
    return medians | {"ratio": {kind: _median(a[kind] / b[kind] for a, b in pairs) for kind in kinds}}


def _median(values: Iterator[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    add_images(parser)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=5)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = find_images(given.images, scratch)
        revision = stack.enter_context(checked_out(given.revision, scratch / "checkout"))
        servers = {}
        for name, checkout in {_THIS: ROOT, _REVISION: revision}.items():
            (scratch / name).mkdir()
            with contextlib.chdir(checkout):
                servers[name] = stack.enter_context(running(given.model.resolve(), scratch / name))
        measured = compare(servers, images, given.seconds, given.rounds)
    print(json.dumps({**machine(), "beside": given.revision, "rounds": given.rounds, **measured}, indent=2))


if __name__ == "__main__":
    main()
