"""Asks one address for as long as it is told to, with wrk, which is neither ours nor anybody's we compare with.

    python benchmarks/load.py http://127.0.0.1:8000/predict [--images FOLDER] [--connections 16] [--seconds 10]

Each connection sends an image as soon as its last is answered; all connections go through the same images in turn.
Prints JSON: requests a second, percentiles of the latency in milliseconds, answers by status, failures by kind. Exits
with 1 if there was any answer but 200, or a failure.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.images import add_images, find_images

_SCRIPT = Path(__file__).parent / "load.lua"
_PATIENCE_S = 30
_FAILURES = ("connect", "read", "write", "timeout")


class LoadError(Exception):
    """Nothing could be measured; the message is one line."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of asking.

    Attributes:
        rate: requests answered, a second.
        p50_ms: median latency in milliseconds; ``p90_ms`` and ``p99_ms`` alike.
        count: requests answered.
        errors: how often what went wrong: a status other than 200 by its number, a failure of a connection by its kind.
    """

    rate: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    count: int
    errors: dict[str, int]


def load(url: str, images: Sequence[Path], connections: int, seconds: float, field: str | None = None) -> Load:
    """Ask with so many connections side by side.

    Args:
        url: where images are sent to, by POST.
        images: JPEG files.
        connections: kept open; each has one request under way.
        seconds: rounded up to whole ones, which is what wrk knows.
        field: of a form that the image is sent in; None: the body is the image.

    Raises:
        LoadError: wrk is missing, or could not ask.
    """
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed (Debian: apt-get install wrk)")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("".join(f"{path.absolute()}\n" for path in images))
        listing.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{-int(-seconds // 1)}s", f"--timeout={_PATIENCE_S}s"]
        command += ["-s", str(_SCRIPT), url, "--", listing.name, "image/jpeg", *([field] if field else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"wrk: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return parse(done.stdout)


def parse(printed: str) -> Load:
    """What wrk and its script printed: the figures are the last line.

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
    """Ask and print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    add_images(parser)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--field", help="field of a form to send the image in; without it, the body is the image")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            images = find_images(given.images, Path(scratch))
            found = load(given.url, images, given.connections, given.seconds, given.field)
        except LoadError as error:
            print(f"load.py: {error}", file=sys.stderr)
            return 1
    print(json.dumps(asdict(found), indent=2))
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
