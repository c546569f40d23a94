"""A minimal server: the upper bound for any server that shares the CPUs with its client.

    python benchmarks/bare.py [--port 8000] [--model models/pneumonia/7] [--empty]

One POST with Content-Length at a time on a connection; anything else is not answered. It has the service's pool of
compute threads, decoder and session, batches as the service does for a CPU (none), and no check, limit or log. With
``--empty`` it answers once it has the body, and so measures its client.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from contract.bundle import BundleError, read_bundle
from contract.image import to_pixels
from service.inference.backend import OnnxBackend
from service.inference.session import Cuda, open_session
from service.inference.threads.cpus import plan_calls, usable_cpus
from service.inference.threads.pool import Pool
from service.workers.server import SWITCH_INTERVAL_S
from tests import BUNDLED_MODEL

_END, _LENGTH = b"\r\n\r\n", b"content-length:"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Engine:
    """What the service does for an image, in its compute threads: decode, and then score as soon as one is free."""

    def __init__(self, folder: Path) -> None:
        bundle, cpus = read_bundle(folder), usable_cpus()
        live = open_session(bundle, "cpu", "auto", plan_calls(cpus), Cuda(1, 0, tf32=False))
        self._backend, self._pool = OnnxBackend(bundle, live), Pool(cpus)
        self._contract = bundle.manifest.image_contract

    def start(self, image: bytes, done: Callable[[float], object]) -> None:
        """Analyse an image, and call back with its probability in a compute thread."""
        self._pool.decoders.submit(self._decode, image, done)

    def _decode(self, image: bytes, done: Callable[[float], object]) -> None:
        pixels = to_pixels(image, contract=self._contract)
        self._pool.model.submit(self._score, pixels, done)

    def _score(self, pixels: NDArray[np.uint8], done: Callable[[float], object]) -> None:
        done(float(self._backend.predict(pixels[np.newaxis]).probability[0]))


class NoEngine:
    """Does nothing for an image."""

    def start(self, _: bytes, done: Callable[[float], object]) -> None:
        """Call back at once."""
        done(0.0)


class Bare(asyncio.Protocol):
    """A connection."""

    def __init__(self, engine: Engine | NoEngine) -> None:
        self._engine, self._loop = engine, asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._missing = -1  # bytes of the body; -1: the header is not complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self._missing < 0:
            data = b"".join([*self._pieces, data])
            end = data.find(_END)
            if end < 0:
                self._pieces = [data]
                return
            head = data[:end].lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            self._missing = int(head[at:].split(b"\r\n", 1)[0])
            data, self._pieces = data[end + len(_END) :], []
        self._pieces.append(data)
        self._missing -= len(data)
        if not self._missing:
            image, self._pieces, self._missing = b"".join(self._pieces), [], -1
            self._engine.start(image, lambda probability: self._loop.call_soon_threadsafe(self._answer, probability))

    def _answer(self, probability: float) -> None:
        if self._transport.is_closing():
            return
        body = b'{"probability": %f}' % probability
        self._transport.write(_ANSWER % (len(body), body))  # type: ignore[attr-defined]


async def serve(port: int, engine: Engine | NoEngine) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Bare(engine), "127.0.0.1", port)
    await server.serve_forever()


def main() -> int:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL)
    parser.add_argument("--empty", action="store_true", help="answer without decoder and model")
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        uvloop.run(serve(given.port, NoEngine() if given.empty else Engine(given.model)))
    except BundleError as error:
        print(f"bare.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
