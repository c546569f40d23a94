"""A result of gpu.py as a record for the queueing model: another machine, known by what was measured there."""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.simulation.model import Setup, Times, simulate
from benchmarks.simulation.times import Observed, Record, slower

_FIT_STEPS = 10
# Of the records of 2026-11-26, which do not say it.
_FORMER_SWITCH_S = 0.001


def records(result: dict[str, Any], here: Times) -> Iterator[Record]:
    """With the model on the GPU; and, if the result has several workers, without.

    What was not measured there (the client, the event loop, the GIL's part of decoding, the model on a CPU) is taken
    from this machine and scaled as decoding is.

    Args:
        result: of gpu.py.
        here: the times of this machine, with the same images.
    """
    cpus = int(result["machine"].split()[0])
    there = slower(here, 1e3 * cpus / result["decoded_per_s"] / statistics.mean(here.decode_ms))
    speed, loads = result["graph"]["speed"], result["service"]["load_by_connections"]
    calls = {int(size): took["median_ms"] for size, took in speed.items()}
    if result["broken"]:  # another size than the last one's was not warm; with one connection all are of one image
        calls = {max(calls): statistics.median(took["first_ms"] for took in speed.values())}
        loads = {connections: found for connections, found in loads.items() if connections != "1"}
    switch_ms = 1e3 * result.get("switch_interval_s", _FORMER_SWITCH_S)
    alone = (
        Observed(
            Setup(cpus, 1, int(connections), gpu=True, switch_ms=switch_ms),
            found["rate"],
            found["p50_ms"],
            found["p99_ms"],
        )
        for connections, found in loads.items()
    )
    swept = tuple(_workers(result.get("workers_cuda"), cpus, gpu=True))
    yield Record(replace(there, model_ms=calls), (*alone, *swept))
    if found := tuple(_workers(result.get("workers_cpu"), cpus, gpu=False)):
        yield Record(there, found)


def _workers(swept: dict[str, Any] | str | None, cpus: int, *, gpu: bool) -> Iterator[Observed]:
    """The medians of workers.py, if it ran."""
    if isinstance(swept, dict):
        for count, found in swept.items():
            if count.endswith(" workers"):
                setup = Setup(cpus, int(count.split()[0]), swept["connections"], gpu)
                yield Observed(setup, *(found[name][0] for name in ("per_second", "p50_ms", "p99_ms")))


def fitted(times: Times, observed: Observed, images: int = 3000) -> Times:
    """The times with that of the event loop with which the model predicts an observed rate, by bisection.

    ``loop_ms`` then stands for all of an image's time that holds the GIL beside the decoder's part.

    Args:
        times: the others.
        observed: the load.
        images: of each simulation.
    """
    low, high = 0.0, 1e3 / observed.rate
    for _ in range(_FIT_STEPS):
        times = replace(times, loop_ms=(low + high) / 2)
        if simulate(times, observed.setup, images).rate > observed.rate:
            low = times.loop_ms
        else:
            high = times.loop_ms
    return times
