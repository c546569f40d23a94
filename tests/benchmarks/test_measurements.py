"""The counts and requests of the benchmarks, apart from times."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks.decode import differences, reduction
from benchmarks.measuring.timing import percentile, percentiles
from benchmarks.overload import Answers, Rate, figures_of, offer
from benchmarks.wire import of_size
from contract.image import to_pixels
from tests.drawings import chest, encode, jpeg


class _Refusing(BaseHTTPRequestHandler):
    """Answers the first request and rejects all others."""

    answered = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).answered += 1
        self.send_response(200 if self.answered == 1 else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    _Refusing.answered = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/predict"
        server.shutdown()


def test_every_request_is_counted_once(refusing: str) -> None:
    answers = asyncio.run(offer(refusing, [jpeg()], rate=100, seconds=0.3))
    assert len(answers.good) == answers.in_time == 1
    assert len(answers.refused) == _Refusing.answered - 1 > 5
    assert not answers.other


def test_connection_errors_are_counted_too() -> None:
    answers = asyncio.run(offer("http://127.0.0.1:9/predict", [jpeg()], rate=100, seconds=0.2))
    assert set(answers.other) == {"ConnectionRefusedError"}


def test_goodput_is_related_to_the_capacity_and_to_the_cpus_that_the_client_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.overload.usable_cpus", lambda: 2)
    figures = figures_of(Answers(ends=0, good=[1.0] * 40), goodput=Rate(10, 1.0), capacity=Rate(20, 0.0))
    assert (figures["goodput"], figures["goodput_over_capacity"], figures["client_cpus"]) == (10, 0.5, 1.0)
    assert figures["per_cpu_left"] == 1  # half of the answers, with half of the CPUs
    assert figures["refused_p50_ms"] is None


def test_percentiles() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3
    assert percentiles([]) == {"p50_ms": None, "p99_ms": None}


def test_a_padded_file_decodes_to_the_same_pixels() -> None:
    longer = of_size(jpeg(), 500_000)
    assert len(longer) >= 500_000
    np.testing.assert_array_equal(to_pixels(longer), to_pixels(jpeg()))


@pytest.mark.parametrize(("sides", "scale"), [((1300, 1000), 2), ((1700, 1600), 4), ((500, 450), 1)])
def test_other_decoders_are_asked_for_the_contract_s_scale(sides: tuple[int, int], scale: int) -> None:
    assert reduction(encode(chest(1, *sides))) == scale


def test_the_contract_s_decoder_does_not_differ_from_itself() -> None:
    assert differences(to_pixels, [jpeg()]) == {"mean_levels": 0.0, "worst_levels": 0, "files_that_differ": 0}
