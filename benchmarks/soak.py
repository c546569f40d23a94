"""Loads the service for an hour with everything that clients do, and compares what they saw with what it counted.

    make soak MINUTES=60          or: python benchmarks/soak.py [--minutes 60] [--cycles 50] [--images FOLDER] [--store]

The service runs with keys, an audit log and, at half the time between two samples, a model that is replaced. First its
capacity is measured (16 connections in a closed loop), then requests arrive at random times at 0.8 of it: good images,
damaged ones, files that are no image, keys that are wrong, and clients that hang up a moment after their upload. At the
end, for every status, the clients' count, `xray_requests_total` and the audit log must agree. Memory, file descriptors
and threads are sampled, and their slopes fitted after the first fifth of the time. Last, the service is started and
stopped ``--cycles`` times. Exits with 1 if counts differ, a cycle fails, or an answer was lost.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.comparison.contenders import DEFAULT, OURS, Contender
from benchmarks.load import load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.observed import HUNG_UP, Sample, audited, both_counts, counted, differences, figures, sample
from benchmarks.measuring.processes import adopt_orphans, serving
from benchmarks.overload import RequestProtocol
from service.access.keys import add_key, make_key
from tests import MODELS

_LOAD, _CONNECTIONS = 0.8, 16
_TIMEOUT_S, _SWAP_TIMEOUT_S = 30.0, 120.0
# Of a hundred requests.
_KINDS = {"good": 86, "damaged": 4, "no image": 3, "wrong key": 3, "hangs up": 4}
_HANGS_UP_WITHIN_S = 0.03
_HEAD = (
    "POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n"
)


@dataclass(slots=True)
class Run:
    """What the clients saw, and what the processes were like."""

    seen: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    swaps: Counter[str] = field(default_factory=Counter)


class Clients:
    """Sends requests of all kinds, each on a connection of its own.

    Args:
        url: of the service.
        images: files that are answered.
        key: a valid one.
        run: what is seen is counted here.
    """

    def __init__(self, url: str, images: Sequence[bytes], key: str, run: Run) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._run = parts.hostname or "", parts.port or 80, run
        self._images, self._key, self._random = itertools.cycle(images), key, random.Random(1)

    def request(self, kind: str) -> bytes:
        """The bytes of a request of this kind."""
        body = next(self._images)
        if kind == "damaged":
            body = body[: len(body) // 2]
        if kind == "no image":
            body = b"no image" * 100
        key = "xray_000000000000_" + "x" * 43 if kind == "wrong key" else self._key
        return _HEAD.format(key=key, length=len(body)).encode() + body

    async def send(self, kind: str) -> None:
        """Send a request of this kind, and count its answer."""
        self._run.seen[await self._status(kind)] += 1

    async def _status(self, kind: str) -> str:
        loop, request = asyncio.get_running_loop(), self.request(kind)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                transport, protocol = await loop.create_connection(
                    lambda: RequestProtocol(request), self._host, self._port
                )
                try:
                    if kind == "hangs up":
                        await asyncio.sleep(self._random.uniform(0, _HANGS_UP_WITHIN_S))
                        return HUNG_UP
                    return await protocol.status
                finally:
                    transport.close()
        except (TimeoutError, OSError) as error:
            return type(error).__name__

    async def offer(self, rate: float, seconds: float) -> None:
        """Send one of each kind, then any at random times, ``rate`` per second; return when all are answered."""
        for kind in _KINDS:
            await self.send(kind)
        loop = asyncio.get_running_loop()
        due, ends = loop.time(), loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            while (due := due + self._random.expovariate(rate)) < ends:
                await asyncio.sleep(due - loop.time())
                [kind] = self._random.choices(list(_KINDS), list(_KINDS.values()))
                group.create_task(self.send(kind))


async def observe(run: Run, every_s: float, swap: Callable[[], str]) -> None:
    """Sample the processes and replace the model in turn, until cancelled."""
    began = time.monotonic()
    while True:
        run.samples.append(sample(time.monotonic() - began))
        await asyncio.sleep(every_s / 2)
        run.swaps[await asyncio.to_thread(swap)] += 1
        await asyncio.sleep(every_s / 2)


async def soak(clients: Clients, run: Run, rate: float, seconds: float, swap: Callable[[], str]) -> None:
    """Load the service and observe it."""
    observing = asyncio.create_task(observe(run, min(10.0, seconds / 20), swap))
    try:
        await clients.offer(rate, seconds)
    finally:
        observing.cancel()
        await asyncio.wait([observing])


def swapper(url: str, key: str, link: Path, targets: Sequence[Path]) -> Callable[[], str]:
    """A function that lets the link lead to the next target, and has the service read it: the status of its answer, or
    why there was none.
    """
    following = itertools.cycle(targets)

    def swap() -> str:
        new = link.with_name("new")
        new.symlink_to(next(following))
        new.replace(link)
        address, headers = url.replace("/predict", "/model/reload"), {"Authorization": f"Bearer {key}"}
        try:
            return str(httpx.post(address, headers=headers, timeout=_SWAP_TIMEOUT_S).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    return swap


def cycles(count: int, contender: Contender, scratch: Path, image: bytes) -> dict[str, Any]:
    """Start and stop the service this many times; how many processes were left after SIGTERM, together."""
    starts, left = [], 0
    for _ in range(count):
        with serving(contender, Path(sys.executable), scratch, image) as server:
            starts.append(server.start_s)
            left += len(server.stop())
    return {"cycles": count, "start_s_median": round(statistics.median(starts), 2) if starts else None, "left": left}


def settings(scratch: Path) -> tuple[dict[str, str], str, str]:
    """Settings of the service; a key that may predict and one that may do all else."""
    keys, audit = scratch / "keys.json", scratch / "audit"
    audit.mkdir()
    (predict, first), (other, second) = (
        make_key("soak", ["predict"]),
        make_key("admin", ["admin", "metrics", "predict"]),
    )
    for key in (first, second):
        add_key(keys, key)
    chosen = {"XRAY_KEYS_FILE": str(keys), "XRAY_ALLOW_ANONYMOUS": "1", "XRAY_MODEL_CONTROL": "1"}
    return chosen | {"XRAY_AUDIT": "on", "XRAY_AUDIT_FOLDER": str(audit)}, predict, other


def measure(images: Sequence[Path], minutes: float, cycle_count: int, scratch: Path) -> Iterator[dict[str, Any]]:
    """The whole measurement: the result of the load, and the same with that of the cycles."""
    chosen, key, admin = settings(scratch)
    targets, link, run = [MODELS / version for version in "32"], scratch / "model", Run()
    link.symlink_to(targets[1])
    contender = Contender(OURS, replace(DEFAULT, model=link, settings=chosen))
    bodies = [path.read_bytes() for path in images]
    with serving(contender, Path(sys.executable), scratch, bodies[0]) as server:
        capacity = load(server.url, images, _CONNECTIONS, min(10, 15 * minutes)).rate
        before, audit_before = both_counts(server.url, admin, bodies[0], scratch / "audit")
        clients = Clients(server.url, bodies, key, run)
        uvloop.run(soak(clients, run, _LOAD * capacity, 60 * minutes, swapper(server.url, admin, link, targets)))
        await_quiet(server.url, admin, sum(before.values()) + sum(run.seen.values()))
        metrics = counted(server.url, admin) - before
        run.samples.append(sample(run.samples[-1].at_s + 1))
    audit = audited(scratch / "audit") - audit_before
    result = {
        **machine(),
        "minutes": minutes,
        "capacity": round(capacity, 1),
        "clients": dict(sorted(run.seen.items())),
        "metrics": dict(sorted(metrics.items())),
        "audit": dict(sorted(audit.items())),
        "differences": differences(run.seen, metrics, audit),
        "swaps": dict(sorted(run.swaps.items())),
        **figures(run.samples),
        "left": 0,
    }
    yield result
    yield result | cycles(cycle_count, contender, scratch, bodies[0])


def await_quiet(url: str, key: str, total: int) -> None:
    """Wait until every request that was sent is counted; what is still missing then is a difference."""
    ends = time.monotonic() + _TIMEOUT_S
    while sum(counted(url, key).values()) < total and time.monotonic() < ends:
        time.sleep(0.2)


def main() -> int:
    """Measure, print and store. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--remark", help="about the machine, to be stored with the result")
    parser.add_argument("--store", action="store_true", help="write the result to benchmarks/results")
    given = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "images").mkdir()
        images = find_images(given.images, scratch / "images")
        for result in measure(images, given.minutes, given.cycles, scratch):
            # Also before the cycles: they may fail.
            text = json.dumps({"remark": given.remark, **result} if given.remark else result, indent=2)
            if given.store:
                (Path(__file__).parent / "results" / f"{result['date']}-soak.json").write_text(f"{text}\n")
    print(text)
    return 1 if result["differences"] or result["left"] else 0


if __name__ == "__main__":
    sys.exit(main())
