"""CPU time by thread: where each image's milliseconds go, in the service and in a bare protocol, beside their client.

    python benchmarks/threads.py [--images FOLDER] [--connections 16] [--rounds 6] [--seconds 4] [--beside CHECKOUT]

The bare protocol (``bare.py``), the service of this checkout and that of another one, if given, are loaded by wrk in
turn, with the same images in the same order. Prints JSON: for each the images per second and the CPU milliseconds an
image of the event loop, of all other threads (decoding and the model), and of wrk; medians of the rounds. On a machine
that does other things the rates say little; the CPU times, of which the kernel counts nanoseconds a thread, much more.
"""

import argparse
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.load import load
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.measuring.processes import free_port
from tests import BUNDLED_MODEL, ROOT
from tests.e2e.server import running
from tests.waiting import until


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU milliseconds of a process so far: of its main thread, which runs the event loop, and of all others."""

    loop_ms: float
    others_ms: float


def spent(pid: int) -> Spent:
    """The CPU time of a process by thread, from the scheduler's statistics (proc(5), ``schedstat``)."""
    by_thread: dict[int, float] = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            by_thread[int(thread.name)] = int((thread / "schedstat").read_text().split()[0]) / 1e6
    return Spent(by_thread.get(pid, 0.0), sum(by_thread.values()) - by_thread.get(pid, 0.0))


def measured(pid: int, url: str, images: Sequence[Path], connections: int, seconds: float) -> dict[str, float]:
    """One load: images per second, latency, and CPU milliseconds an image by who spent them."""
    before, client = spent(pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    found = load(url, images, connections, seconds)
    after, client_after = spent(pid), resource.getrusage(resource.RUSAGE_CHILDREN)
    client_s = client_after.ru_utime + client_after.ru_stime - client.ru_utime - client.ru_stime
    return {
        "images_per_s": found.rate,
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "loop_ms": (after.loop_ms - before.loop_ms) / found.count,
        "others_ms": (after.others_ms - before.others_ms) / found.count,
        "client_ms": 1e3 * client_s / found.count,
        "errors": float(sum(found.errors.values())),
    }


@contextlib.contextmanager
def bare(model: Path = BUNDLED_MODEL, *options: str) -> Iterator[tuple[int, str]]:
    """Process and URL of the bare protocol, with options of ``bare.py``."""
    port = free_port()
    command = [sys.executable, "benchmarks/bare.py", "--port", str(port), "--model", str(model), *options]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            until(lambda: process.poll() is not None or accepts(port))
            yield process.pid, f"http://127.0.0.1:{port}/predict"
        finally:
            process.kill()


def accepts(port: int) -> bool:
    """Whether something listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextlib.contextmanager
def service(checkout: Path, scratch: Path) -> Iterator[tuple[int, str]]:
    """Process and URL of the service of a checkout, with its default settings."""
    scratch.mkdir()
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(checkout)
    try:
        with contextlib.chdir(checkout), running(BUNDLED_MODEL, scratch) as server:
            yield server.process.pid, f"{server.url}/predict"
    finally:
        os.environ.pop("PYTHONPATH") if kept is None else os.environ.update(PYTHONPATH=kept)


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Load each in turn, round by round."""
    rounds: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (scratch / "images").mkdir()
        images = find_images(given.images, scratch / "images")
        servers = {
            "bare protocol": stack.enter_context(bare()),
            "service": stack.enter_context(service(ROOT, scratch / "service")),
        }
        if given.beside:
            servers["beside"] = stack.enter_context(service(given.beside.resolve(), scratch / "beside"))
        for number in range(given.rounds + 1):
            for name, (pid, url) in servers.items():
                found = measured(pid, url, images, given.connections, given.seconds)
                if number:  # the first round warms up
                    rounds.setdefault(name, []).append(found)
    medians = {
        name: {key: round(statistics.median(each[key] for each in found), 3) for key in found[0]}
        for name, found in rounds.items()
    }
    ratio = medians["service"]["images_per_s"] / medians["bare protocol"]["images_per_s"]
    return {"images": len(images), "connections": given.connections, **medians, "service_of_bare": round(ratio, 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_images(parser)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--beside", type=Path, help="another checkout whose service is measured as well")
    print(json.dumps({**machine(), **compare(parser.parse_args())}, indent=2))


if __name__ == "__main__":
    main()
