"""Predicts images per second and latency by number of CPUs and workers, from measured service times.

    python benchmarks/queueing.py (--measure FILE | --measured FILE) [--images FOLDER] [--seconds 8] [--gpu RESULT]
        [--fit 32] [--cpus 1 2 4 8 16 32] [--workers 1 2 4 8] [--connections N] [--decode-ms X] [--loop-ms X] ...

``--measure`` measures service times and loads on this machine (needs wrk; about a minute), and keeps them in the file;
``--measured`` uses such a file. Times can be set otherwise by options, to ask what a faster part would give.
benchmarks/simulation/model.py says what is simulated, benchmarks/simulation/times.py how the times are measured.

Prints JSON: ``gil_check``, about 1 if the machine was quiet enough to measure how long the GIL is held
(simulation/times.py); ``predicted`` for each number of CPUs and workers, with as many connections as given, else eight
for each CPU and 128 at most; and ``held_against``: each measured load beside its prediction, with relative errors. With
``--gpu`` also the loads of a result of gpu.py, where the event loop was not measured: it is taken from this machine,
or, with ``--fit``, from the rate that one worker had there with this many connections; that load is then no prediction.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.simulation.model import Predicted, Setup, Times, simulate
from benchmarks.simulation.other_machine import fitted, records
from benchmarks.simulation.times import Observed, Record, held_check, measure

_ALL_CONNECTIONS, _CONNECTIONS_A_CPU = 128, 8
_SINGLE_TIMES = ("decode_gil_ms", "model_gil_ms", "loop_ms", "client_ms")


def rounded(predicted: Predicted) -> dict[str, float]:
    """For people."""
    return {name: round(value, 1) for name, value in asdict(predicted).items()}


def predictions(
    times: Times, cpus: Sequence[int], workers: Sequence[int], connections: int, images: int = 3000
) -> list[dict[str, float]]:
    """For each number of CPUs and each of workers up to it.

    Args:
        times: the service times.
        cpus: numbers of CPUs.
        workers: numbers of workers.
        connections: 0: eight for each CPU, 128 at most.
        images: of each simulation.
    """
    setups = [
        Setup(count, processes, connections or min(_ALL_CONNECTIONS, _CONNECTIONS_A_CPU * count))
        for count in cpus
        for processes in workers
        if processes <= count
    ]
    return [_described(setup) | rounded(simulate(times, setup, images)) for setup in setups]


def _described(setup: Setup) -> dict[str, Any]:
    return {"cpus": setup.cpus, "workers": setup.workers, "connections": setup.connections, "gpu": setup.gpu}


def held_against(times: Times, observed: Observed, images: int = 3000) -> dict[str, Any]:
    """A measured load beside its prediction. ``images``: of the simulation."""
    found = simulate(times, observed.setup, images)
    errors = {
        f"{name}_error": round(getattr(found, name) / getattr(observed, name) - 1, 3)
        for name in ("rate", "p50_ms", "p99_ms")
    }
    measured = {f"{name}_measured": round(getattr(observed, name), 1) for name in ("rate", "p50_ms", "p99_ms")}
    return _described(observed.setup) | rounded(found) | measured | errors


def elsewhere(result: dict[str, Any], here: Times, fit: int | None) -> list[dict[str, Any]]:
    """The loads of a result of gpu.py beside their predictions."""
    found, loop_ms = [], None
    for record in records(result, here):
        if fit and loop_ms is None:
            loop_ms = fitted(record.times, one_worker(record, fit)).loop_ms
        times = record.times if loop_ms is None else replace(record.times, loop_ms=loop_ms)
        found += [held_against(times, load) | {"loop_ms": round(times.loop_ms, 3)} for load in record.observed]
    return found


def one_worker(record: Record, connections: int) -> Observed:
    """The load of one worker with this many connections.

    Raises:
        SystemExit: there is none.
    """
    for load in record.observed:
        if (load.setup.workers, load.setup.connections) == (1, connections):
            return load
    raise SystemExit(f"--fit {connections}: the result has no load with this many connections")


def changed(times: Times, given: argparse.Namespace) -> Times:
    """The times, with those that options set."""
    for name in _SINGLE_TIMES:
        if (value := getattr(given, name)) is not None:
            times = replace(times, **{name: value})
    if given.decode_ms is not None:
        times = replace(times, decode_ms=(given.decode_ms,))
    if given.model_ms is not None:
        times = replace(times, model_ms=dict(enumerate(given.model_ms, 1)))
    return times


def parsed() -> argparse.Namespace:
    """The command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--measure", type=Path, help="measure, and keep it in this file")
    source.add_argument("--measured", type=Path, help="a file of --measure")
    add_images(parser)
    parser.add_argument("--seconds", type=float, default=8, help="of each measured load")
    parser.add_argument("--gpu", type=Path, help="a result of gpu.py, with the same images as far as possible")
    parser.add_argument("--fit", type=int, metavar="CONNECTIONS", help="a load of that result; default: none")
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--connections", type=int, default=0)
    for name in ("decode_ms", *_SINGLE_TIMES):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float)
    parser.add_argument("--model-ms", type=float, nargs=4, help="of calls with 1, 2, 3 and 4 images")
    return parser.parse_args()


def recorded(given: argparse.Namespace) -> dict[str, Any]:
    """The kept measurement, made now if asked for."""
    if given.measured:
        kept: dict[str, Any] = json.loads(given.measured.read_text())
        return kept
    with tempfile.TemporaryDirectory() as scratch:
        images = find_images(given.images, Path(scratch))
        record = measure(images, given.connections or 16, given.seconds)
    found = {**machine(), "images": len(images), "gil_check": round(held_check(), 2), **record.to_json()}
    given.measure.write_text(json.dumps(found, indent=2) + "\n")
    return found


def main() -> None:
    """Measure if asked for, predict and print."""
    given = parsed()
    kept = recorded(given)
    record = Record.from_json(kept)
    times = changed(record.times, given)
    found = {
        **{name: kept[name] for name in ("machine", "date", "gil_check")},
        "times": {name: value for name, value in asdict(times).items() if name != "decode_ms"}
        | {"decode_ms": round(sum(times.decode_ms) / len(times.decode_ms), 2)},
        "predicted": predictions(times, given.cpus, given.workers, given.connections),
        "held_against": [held_against(times, load) for load in record.observed],
    }
    if given.gpu:
        found["gpu_held_against"] = elsewhere(json.loads(given.gpu.read_text()), times, given.fit)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
