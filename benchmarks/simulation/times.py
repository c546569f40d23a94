"""Service times for the queueing model, and loads to compare its predictions with, measured on this machine."""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulation.model import Setup, Times
from benchmarks.threads import measured
from contract.bundle import read_bundle
from contract.image import to_pixels
from service.inference.backend import OnnxBackend
from service.inference.session import Cuda, open_session
from service.inference.threads.cpus import plan_calls
from tests import BUNDLED_MODEL
from tests.e2e.server import running

_BATCHES, _CALLS = (1, 2, 3, 4), 30
_INTERVAL_S, _HELD_S = 0.002, 3


@dataclass(frozen=True, slots=True)
class Observed:
    """A measured load: images per second and percentiles of the latency in milliseconds."""

    setup: Setup
    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Record:
    """The input of the model, and the loads to compare its predictions with."""

    times: Times
    observed: tuple[Observed, ...]

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Record":
        """From what ``to_json`` returned, also after JSON has turned tuples into lists and numbers into keys."""
        times = dict(kept["times"])
        times["decode_ms"] = tuple(times["decode_ms"])
        times["model_ms"] = {int(size): ms for size, ms in times["model_ms"].items()}
        observed = tuple(Observed(**each | {"setup": Setup(**each["setup"])}) for each in kept["observed"])
        return cls(Times(**times), observed)


def measure(images: Sequence[Path], connections: int, seconds: float) -> Record:
    """Measure the service times and a few loads, with all usable CPUs and with fewer; about a minute.

    Decoder and model take longer in the service than in a loop of their own, where caches are warm: their times are
    scaled to the CPU time of the service's compute threads with all CPUs.

    Args:
        images: JPEG files.
        connections: of the load.
        seconds: of each load.
    """
    alone = in_a_loop([path.read_bytes() for path in images])
    cpus = len(os.sched_getaffinity(0))
    pairs = [(cpus, 1), *((count, 1) for count in _halves(cpus)), *([(cpus, 2)] if cpus > 1 else [])]
    found = [observe(Setup(*pair, connections), images, seconds) for pair in pairs]
    return Record(in_service(alone, found[0][1]), tuple(observed for observed, _ in found))


def _halves(cpus: int) -> Iterator[int]:
    while cpus > 1:
        cpus //= 2
        yield cpus


def in_a_loop(images: Sequence[bytes]) -> Times:
    """The times of decoder and model, each alone in one thread."""
    bundle = read_bundle(BUNDLED_MODEL)
    backend = OnnxBackend(bundle, open_session(bundle, "cpu", "auto", plan_calls(1), Cuda(1, 0, tf32=False)))
    decode = partial(to_pixels, contract=bundle.manifest.image_contract)
    pixels = np.stack([decode(image) for image in images[: max(_BATCHES)]])
    pixels = np.resize(pixels, (max(_BATCHES), *pixels.shape[1:]))
    endless = cycle(images)
    decode_gil_ms, sections = held(lambda: decode(next(endless)))
    return Times(
        decode_ms=tuple(cpu_ms(partial(decode, image)) for image in images),
        decode_gil_ms=decode_gil_ms,
        decode_sections=sections,
        model_ms={
            size: statistics.median(cpu_ms(partial(backend.predict, pixels[:size])) for _ in range(_CALLS))
            for size in _BATCHES
        },
        model_gil_ms=held(partial(backend.predict, pixels[:1]))[0],
        loop_ms=0,
        client_ms=0,
    )


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU milliseconds of this thread for one call."""
    began = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - began)


def held(call: Callable[[], object], seconds: float = _HELD_S) -> tuple[float, int]:
    """How long one call holds the GIL, in milliseconds with the handover, and how many times it takes it, at least 1.

    Beside the calls a thread runs that always wants the GIL. While it waits for it, a call holds it. Whenever a call
    wants it, it waits for one switch interval. Both threads need a CPU of their own: what other processes take of it
    counts as held (``held_check``).
    """
    ends, kept = time.perf_counter() + seconds, sys.getswitchinterval()
    busy_s: list[float] = []
    other = threading.Thread(target=lambda: busy_s.append(_repeated(lambda: None, ends)[0]))
    sys.setswitchinterval(_INTERVAL_S)
    try:
        began = time.perf_counter()
        other.start()
        cpu_s, calls = _repeated(call, ends)
        wall_s = time.perf_counter() - began
        other.join()
    finally:
        sys.setswitchinterval(kept)
    return 1e3 * max(0.0, wall_s - busy_s[0]) / calls, max(1, round((wall_s - cpu_s) / calls / _INTERVAL_S))


def held_check() -> float:
    """What ``held`` finds for a call that always holds the GIL, over its CPU time: about 1 on a quiet machine."""
    return held(_python)[0] / statistics.median(cpu_ms(_python) for _ in range(_CALLS))


def _python() -> None:
    sum(range(100_000))


def _repeated(call: Callable[[], object], ends: float) -> tuple[float, int]:
    """Call until then, in this thread. Returns its CPU seconds and the number of calls."""
    began, calls = time.thread_time(), 0
    while time.perf_counter() < ends:
        call()
        calls += 1
    return time.thread_time() - began, calls


def in_service(alone: Times, spent_ms: dict[str, float]) -> Times:
    """The times of decoder and model, scaled to what the service's compute threads took; those of loop and client."""
    factor = spent_ms["others_ms"] / (statistics.mean(alone.decode_ms) + alone.call_ms(1))
    return replace(slower(alone, factor), loop_ms=spent_ms["loop_ms"], client_ms=spent_ms["client_ms"])


def slower(times: Times, factor: float) -> Times:
    """The same times on a machine, or in a state of caches, in which everything takes ``factor`` times as long."""
    return Times(
        tuple(factor * ms for ms in times.decode_ms),
        factor * times.decode_gil_ms,
        times.decode_sections,
        {size: factor * ms for size, ms in times.model_ms.items()},
        factor * times.model_gil_ms,
        factor * times.loop_ms,
        factor * times.client_ms,
    )


@contextmanager
def on_cpus(count: int) -> Iterator[None]:
    """Run on this many CPUs (as ``taskset``), and so does every process that is started meanwhile."""
    kept = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(kept)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, kept)


def observe(setup: Setup, images: Sequence[Path], seconds: float) -> tuple[Observed, dict[str, float]]:
    """A load, after one of a second that warms up; and its figures by thread, of which a worker's are not counted."""
    capacity = max(128, 2 * setup.connections)
    with (
        on_cpus(setup.cpus),
        tempfile.TemporaryDirectory() as scratch,
        running(BUNDLED_MODEL, Path(scratch), workers=setup.workers, capacity=capacity) as server,
    ):
        server.await_log('"message": "ready"', setup.workers)
        for each_s in (1, seconds):
            found = measured(server.process.pid, f"{server.url}/predict", images, setup.connections, each_s)
    return Observed(setup, found["images_per_s"], found["p50_ms"], found["p99_ms"]), found
