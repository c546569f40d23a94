"""Measures the overhead of a request over decoding and inference on an idle service; can compare two checkouts.

    python benchmarks/lone.py [--model models/pneumonia/2] [--images FOLDER] [--requests 300] [--beside CHECKOUT]

Each image is decoded and scored in this process, with the best number of threads, and sent to the service of this
checkout, with its defaults and with one thread for each call of the model (``XRAY_THREADS=1``), and to that of another
checkout if one is given. Prints JSON: medians in milliseconds; ``over_ms`` is the
median of the additional time that the service took for the same image.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.images import add_images, find_images
from benchmarks.limit import Engine
from benchmarks.machine import machine
from benchmarks.peers.work import DECODERS
from service.inference.cpus import plan_calls, usable_cpus
from tests import BUNDLED_MODEL, ROOT
from tests.e2e.server import running

_WARM = 10


def in_process(engines: Sequence[Engine]) -> Callable[[bytes], float]:
    """Measures decoding and inference with the fastest of the engines, in milliseconds."""
    return lambda image: 1e3 * min(engine.read(image) for engine in engines)


def by_request(port: int) -> Callable[[bytes], float]:
    """Measures a request for one image over one connection, in milliseconds. http.client has the least overhead."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(image: bytes) -> float:
        began = time.perf_counter()
        connection.request("POST", "/predict", image, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        body = response.read()
        took = 1e3 * (time.perf_counter() - began)
        assert response.status == 200, body
        return took

    return send


def compare(ways: dict[str, Callable[[bytes], float]], images: Sequence[bytes], requests: int) -> dict[str, object]:
    """The median of each way over ``requests`` images, and the median difference from the first way."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number, image in enumerate(itertools.islice(itertools.cycle(images), _WARM + requests)):
        for name, way in ways.items():
            found = way(image)
            if number >= _WARM:
                took[name].append(found)
    first, *others = took
    over = {name: [a - b for a, b in zip(took[name], took[first], strict=True)] for name in others}
    return {
        "requests": requests,
        "ms": {name: round(statistics.median(found), 2) for name, found in took.items()},
        "over_ms": {name: round(statistics.median(found), 2) for name, found in over.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    add_images(parser)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--beside", type=Path, help="another checkout whose service is measured as well")
    given = parser.parse_args()
    sizes = {1, plan_calls(usable_cpus()).alone}
    model = given.model.resolve()
    ways = {"in process": in_process([Engine(model, None, DECODERS["contract"], size) for size in sizes])}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = [path.read_bytes() for path in find_images(given.images, scratch)]
        for name, checkout, settings in (
            ("this", ROOT, {}),
            ("this, one thread a call", ROOT, {"threads": 1}),
            ("beside", given.beside, {}),
        ):
            if checkout:
                (scratch / name).mkdir()
                with contextlib.chdir(checkout):
                    server = stack.enter_context(running(model, scratch / name, **settings))
                ways[name] = by_request(server.port)
        measured = compare(ways, images, given.requests)
    print(json.dumps({**machine(), "model": "/".join(model.parts[-2:]), **measured}, indent=2))


if __name__ == "__main__":
    main()
