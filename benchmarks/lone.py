"""Measures the overhead of a request over decoding and inference on an idle service, and where it arises.

    python benchmarks/lone.py [--model models/pneumonia/7] [--images FOLDER] [--requests 300] [--beside CHECKOUT]

Each image is decoded and scored in this process, with the best number of threads, and sent to a bare protocol with the
same pool and model (benchmarks/bare.py), to the service of this checkout, with its defaults and with one thread a call
of the model (``XRAY_THREADS=1``), and to that of another checkout if one is given. Prints JSON, medians in
milliseconds: ``over_ms`` is the additional time for the same image; ``over_without_client_ms`` the same without what
the client takes to send it to a protocol that answers at once (``bare.py --empty``); ``trace`` divides the time into
decoding (with the wait for a thread), queue and inference, as ``Server-Timing`` reports them, and the rest: HTTP,
event loop, client.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.limit import Engine
from benchmarks.measuring.images import add_images, find_images
from benchmarks.measuring.machine import machine
from benchmarks.threads import bare
from service.inference.threads.cpus import plan_calls, usable_cpus
from tests import BUNDLED_MODEL, ROOT
from tests.e2e.server import running

_WARM = 10
_CLIENT = "client alone"
_STAGE = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds for one image, as a whole and by stage, as far as that is known."""

    whole: float
    stages: dict[str, float]


Way = Callable[[bytes], Took]


def in_process(engines: Sequence[Engine]) -> Way:
    """Measures decoding and inference with the fastest of the engines."""

    def analyse(image: bytes) -> Took:
        decode_s, inference_s = min((engine.stages(image) for engine in engines), key=sum)
        return Took(1e3 * (decode_s + inference_s), {"decode": 1e3 * decode_s, "inference": 1e3 * inference_s})

    return analyse


def by_request(port: int) -> Way:
    """Measures a request for one image over one connection. http.client has the least overhead."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(image: bytes) -> Took:
        began = time.perf_counter()
        connection.request("POST", "/predict", image, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        body = response.read()
        whole = 1e3 * (time.perf_counter() - began)
        assert response.status == 200, body
        stages = {name: float(value) for name, value in _STAGE.findall(response.headers.get("Server-Timing", ""))}
        return Took(whole, stages)

    return send


def compare(ways: dict[str, Way], images: Sequence[bytes], requests: int) -> dict[str, object]:
    """The medians of each way over ``requests`` images, and the median difference from the first way."""
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for number, image in enumerate(itertools.islice(itertools.cycle(images), _WARM + requests)):
        for name, way in ways.items():
            found = way(image)
            if number >= _WARM:
                took[name].append(found)
    first, *others = (name for name in took if name != _CLIENT)
    over = {name: [a.whole - b.whole for a, b in zip(took[name], took[first], strict=True)] for name in others}
    client = [found.whole for found in took[_CLIENT]]
    return {
        "requests": requests,
        "ms": {name: _median(each.whole for each in found) for name, found in took.items()},
        "over_ms": {name: _median(found) for name, found in over.items()},
        "over_without_client_ms": {
            name: _median(a - b for a, b in zip(found, client, strict=True)) for name, found in over.items()
        },
        "trace": {name: trace(found) for name, found in took.items() if found[0].stages},
    }


def trace(found: Sequence[Took]) -> dict[str, float]:
    """The medians of the stages, and of the rest."""
    stages = {name: _median(took.stages[name] for took in found) for name in found[0].stages}
    return stages | {"rest": _median(took.whole - sum(took.stages.values()) for took in found)}


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


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
    ways = {"in process": in_process([Engine(model, None, "contract", size) for size in sizes])}
    with contextlib.ExitStack() as stack:
        for name, options in ((_CLIENT, ("--empty",)), ("bare protocol", ())):
            _, url = stack.enter_context(bare(model, *options))
            ways[name] = by_request(urlsplit(url).port or 80)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = [path.read_bytes() for path in find_images(given.images, scratch)]
        services: tuple[tuple[str, Path | None, dict[str, Any]], ...] = (
            ("this", ROOT, {}),
            ("this, one thread a call", ROOT, {"threads": 1}),
            ("beside", given.beside, {}),
        )
        for name, checkout, settings in services:
            if checkout:
                (scratch / name).mkdir()
                with contextlib.chdir(checkout):
                    server = stack.enter_context(running(model, scratch / name, **settings))
                ways[name] = by_request(server.port)
        measured = compare(ways, images, given.requests)
    print(json.dumps({**machine(), "model": "/".join(model.parts[-2:]), **measured}, indent=2))


if __name__ == "__main__":
    main()
