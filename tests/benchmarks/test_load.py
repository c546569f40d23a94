"""The load generator: parsing wrk's output, and wrk itself if it is installed."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import load
from tests.drawings import jpeg
from tests.programs import unusable
from tests.waiting import until

FIGURES = {
    "requests": 30,
    "seconds": 2.0,
    "p50_ms": 1.5,
    "p90_ms": 2.5,
    "p99_ms": 3.5,
    "statuses": {"200": 28, "503": 2},
    **{"connect": 0, "read": 3, "write": 0, "timeout": 0},
}


def test_the_figures_are_the_last_line_and_all_but_200_is_an_error() -> None:
    found = load.parse(f"Running 2s test\n  Requests/sec: 1\n{json.dumps(FIGURES)}\n")
    assert found == load.Load(rate=15, p50_ms=1.5, p90_ms=2.5, p99_ms=3.5, count=30, errors={"503": 2, "read": 3})


@pytest.mark.parametrize("printed", ["", "Running 2s test\nand nothing else\n"])
def test_output_without_figures_is_an_error(printed: str) -> None:
    with pytest.raises(load.LoadError, match="no figures"):
        load.parse(printed)


def test_no_answer_is_an_error_not_a_rate_of_zero() -> None:
    with pytest.raises(load.LoadError, match=r"no request was answered.*'connect': 4"):
        load.parse(json.dumps(FIGURES | {"requests": 0, "statuses": {}, "connect": 4}))


def test_a_missing_wrk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(load.LoadError, match="wrk is not installed"):
        load.load("http://127.0.0.1:1/predict", [], 1, 1)


class Asked(ThreadingHTTPServer):
    """Records the requests, and answers with ``status``."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: set[tuple[str, str | None, bytes]] = set()  # type, X-Needed, body

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/predict"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Asked

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sent.add((self.headers["Content-Type"], self.headers["X-Needed"], body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # wrk ends in the middle of its last requests
            self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        pass


@pytest.fixture
def asked() -> Iterator[Asked]:
    if reason := unusable(("wrk",), at_least=(4, 1), ask="-v"):
        pytest.skip(reason)
    with Asked() as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{seed} of them.jpeg" for seed in range(3)]
    for seed, path in enumerate(paths):
        path.write_bytes(jpeg(seed))
    return paths


def test_wrk_sends_each_image_whole(asked: Asked, images: list[Path]) -> None:
    whole = {("image/jpeg", None, path.read_bytes()) for path in images}

    def sends_all() -> load.Load | None:  # in the second that wrk is given, it sends some of them at least
        found = load.load(asked.url, images, connections=2, seconds=1)
        assert asked.sent <= whole
        assert found.errors == {}
        return found if asked.sent == whole and found.count else None

    found = until(sends_all)
    assert 0 < found.p50_ms <= found.p90_ms <= found.p99_ms


def test_wrk_sends_the_headers_that_a_server_needs(asked: Asked, images: list[Path]) -> None:
    until(lambda: load.load(asked.url, images, connections=1, seconds=1, headers={"X-Needed": "0"}).count)
    assert {(kind, needed) for kind, needed, _ in asked.sent} == {("image/jpeg", "0")}


def test_wrk_sends_forms(asked: Asked, images: list[Path]) -> None:
    until(lambda: load.load(asked.url, images, connections=1, seconds=1, field="photo").count)
    kind, _, body = next(iter(asked.sent))
    boundary = kind.removeprefix("multipart/form-data; boundary=").encode()
    before, head_and_file, after = body.split(b"--" + boundary)
    head, _, file = head_and_file.partition(b"\r\n\r\n")
    assert (before, after) == (b"", b"--\r\n")
    assert b'name="photo"' in head
    assert file.removesuffix(b"\r\n") in {path.read_bytes() for path in images}


def test_an_answer_that_is_not_200_fails_the_command(
    asked: Asked, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.status = 503
    options = ["--images", str(images[0].parent), "--seconds", "1", "--connections", "1"]
    monkeypatch.setattr(sys, "argv", ["load.py", asked.url, *options])
    assert load.main() == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["errors"] == {"503": figures["count"]}
