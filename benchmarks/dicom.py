"""Measures DICOM objects of 2500 x 2000 pixels of 12 bits, and what JPEG 2000 does to others.

    python benchmarks/dicom.py [--model models/pneumonia/7] [--requests 10] [--seconds 10]

Prints JSON. ``lone_ms``: median of a request on an idle service, by transfer syntax, and for a JPEG of that size;
``decode_cpu_ms``: least CPU time of decoding in this process, which other programs on the machine hardly change.
``health``: `GET /health` while eight clients send JPEG 2000 without a pause. ``throughput``: images a second with four
clients.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.machine import machine
from benchmarks.measuring.timing import percentiles, rate
from contract.image import decode as decode_image
from dicom.attributes.context import Context
from dicom.picture import decode
from tests import BUNDLED_MODEL
from tests.dicom_objects import compressed, drawn
from tests.drawings import chest, encode
from tests.e2e.server import running

_PREFIX = "1.2.840.10008.1.2"
_ROUNDS = 5


def picture() -> NDArray[np.uint16]:
    """A drawn radiograph with as much noise in its lower bits as a detector's."""
    noise = np.random.default_rng(0).integers(0, 16, (2500, 2000), np.uint16)
    grey: NDArray[np.uint16] = chest(0, 2000, 2500).astype(np.uint16) * 16 + noise
    return grey


def files() -> dict[str, bytes]:
    """The picture as an object in each kind of transfer syntax, and as a JPEG."""
    pixels = picture()
    return {
        "jpeg file": encode((pixels >> 4).astype(np.uint8), "JPEG", quality=90),
        "uncompressed": drawn(pixels),
        "jpeg lossless": compressed(
            imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12), pixels, f"{_PREFIX}.4.70"
        ),
        "jpeg 12 bits": compressed(
            imagecodecs.jpeg8_encode(pixels, level=90, bitspersample=12), pixels, f"{_PREFIX}.4.51"
        ),
        "jpeg-ls": compressed(imagecodecs.jpegls_encode(pixels), pixels, f"{_PREFIX}.4.80"),
        "jpeg 2000": compressed(
            imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", bitspersample=12), pixels, f"{_PREFIX}.4.90"
        ),
    }


def cpu_ms(data: bytes) -> float:
    """The least CPU time of decoding in this process."""
    read: Callable[[bytes], object] = decode_image if data[:2] == b"\xff\xd8" else partial(decode, context=Context(()))
    took = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        read(data)
        took.append(1e3 * (time.process_time() - began))
    return round(min(took), 1)


def sender(port: int, path: str, body: bytes | None = None) -> Callable[[], float]:
    """Sends a request over one connection, and returns its milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def send() -> float:
        began = time.perf_counter()
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        return 1e3 * (time.perf_counter() - began)

    return send


def median_ms(send: Callable[[], float], requests: int) -> float:
    """The median of this many requests, behind three that warm up."""
    took = [send() for _ in range(3 + requests)]
    return round(statistics.median(took[3:]), 1)


@contextmanager
def busy(port: int, body: bytes, clients: int) -> Iterator[None]:
    """Have this many clients send without a pause for the duration of the context."""
    done = threading.Event()

    def repeat() -> None:
        send = sender(port, "/predict", body)
        while not done.is_set():
            send()

    threads = [threading.Thread(target=repeat) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def under_jpeg_2000(port: int, sent: dict[str, bytes], seconds: float) -> dict[str, float | None]:
    """Health and a lone JPEG while eight JPEG 2000 are read."""
    health, jpeg = sender(port, "/health"), sender(port, "/predict", sent["jpeg file"])
    quiet = median_ms(jpeg, 20)
    with busy(port, sent["jpeg 2000"], 8):
        time.sleep(2)  # until all eight are in flight
        ends, took = time.perf_counter() + seconds, []
        while time.perf_counter() < ends:
            took.append(health())
            time.sleep(0.01)
        loaded = median_ms(jpeg, 10)
    return {
        "requests": len(took),
        **percentiles(took),
        "jpeg_quiet_ms": quiet,
        "jpeg_loaded_ms": loaded,
    }


def throughput(port: int, sent: dict[str, bytes], seconds: float) -> dict[str, float]:
    """Images a second with four clients."""
    found = {
        name: round(rate([sender(port, "/predict", sent[name]) for _ in range(4)], seconds), 1)
        for name in ("jpeg file", "uncompressed")
    }
    return {**found, "ratio": round(found["uncompressed"] / found["jpeg file"], 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    sent = files()
    with tempfile.TemporaryDirectory() as scratch, running(given.model.resolve(), Path(scratch)) as server:
        measured = {
            "bytes": {name: len(data) for name, data in sent.items()},
            "decode_cpu_ms": {name: cpu_ms(data) for name, data in sent.items()},
            "lone_ms": {
                name: median_ms(sender(server.port, "/predict", data), given.requests) for name, data in sent.items()
            },
            "health": under_jpeg_2000(server.port, sent, given.seconds),
            "throughput": throughput(server.port, sent, given.seconds),
        }
    print(json.dumps({**machine(), **measured}, indent=2))


if __name__ == "__main__":
    main()
