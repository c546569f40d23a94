"""Loads one URL for a given time with wrk, a load generator that is independent of all compared servers.

    python benchmarks/load.py http://127.0.0.1:8000/predict [--images FOLDER] [--connections 16] [--seconds 10]

Closed loop: each connection sends the next image as soon as the last one is answered; all connections cycle through the
same images. Prints JSON: requests per second, percentiles of the latency in milliseconds, responses by status, failures
by kind. Exits with 1 if any response was not 200, or a connection failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.measuring.images import add_images, find_images

_SCRIPT = Path(__file__).parent / "load.lua"
_TIMEOUT_S = 30
# CPUs for each thread of wrk: one thread would not keep up with a large machine.
_CPUS_A_THREAD = 8
_FAILURES = ("connect", "read", "write", "timeout")


class LoadError(Exception):
    """The measurement failed; the message is one line with the reason."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a load.

    Attributes:
        rate: answered requests per second.
        p50_ms: median latency in milliseconds; ``p90_ms`` and ``p99_ms`` are the other percentiles.
        count: number of answered requests.
        errors: number of responses by status other than 200, and of connection failures by kind.
    """

    rate: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    count: int
    errors: dict[str, int]


def load(  # noqa: PLR0913  a target, a load, and what differs between servers
    url: str,
    images: Sequence[Path],
    connections: int,
    seconds: float,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Load a URL with concurrent connections.

    Args:
        url: receives the images by POST.
        images: JPEG files.
        connections: kept open; each has one request in flight.
        seconds: rounded up to whole seconds, as wrk requires.
        field: form field to send the image in; None: the body is the image.
        headers: of each request, beside its type.

    Raises:
        LoadError: wrk is missing or failed.
    """
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("".join(f"{path.absolute()}\n" for path in images))
        listing.flush()
        threads = min(connections, -(-len(os.sched_getaffinity(0)) // _CPUS_A_THREAD))
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{-int(-seconds // 1)}s", f"--timeout={_TIMEOUT_S}s"]
        command += [part for name, value in (headers or {}).items() for part in ("-H", f"{name}: {value}")]
        command += ["-s", str(_SCRIPT), url, "--", listing.name, "image/jpeg", *([field] if field else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"wrk: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return parse(done.stdout)


def parse(printed: str) -> Load:
    """Parse the output of wrk and its script: the figures are the last line.

    Raises:
        LoadError: there are no figures, or no request was answered.
    """
    try:
        found = json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise LoadError(f"wrk printed no figures: {printed.strip()[-200:]!r}") from error
    errors = {status: count for status, count in found["statuses"].items() if status != "200"}
    errors |= {kind: found[kind] for kind in _FAILURES if found[kind]}
    if not found["requests"]:
        raise LoadError(f"no request was answered; errors: {errors}")
    rate = found["requests"] / found["seconds"]
    return Load(rate, found["p50_ms"], found["p90_ms"], found["p99_ms"], found["requests"], errors)


def main() -> int:
    """Load and print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    add_images(parser)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--field", help="form field to send the image in; default: the body is the image")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            images = find_images(given.images, Path(scratch))
            found = load(given.url, images, given.connections, given.seconds, field=given.field)
        except LoadError as error:
            print(f"load.py: {error}", file=sys.stderr)
            return 1
    print(json.dumps(asdict(found), indent=2))
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
