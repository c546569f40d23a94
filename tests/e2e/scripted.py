"""A server with scripted answers, such as a real service gives only in failure."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service.wire import ModelName, Prediction, PredictResponse
from tests.waiting import DEADLINE_S


@dataclass(frozen=True)
class Step:
    """One answer. It is sent ``after_s`` seconds after the event ``after`` is set. Status 0 closes the connection
    without an answer. A ``timedelta`` as a header's value becomes the date that far after the time of the answer.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str | timedelta] = field(default_factory=dict)
    after: threading.Event | None = None
    after_s: float = 0


def answer(version: str = "1", provider: str = "CPUExecutionProvider") -> Step:
    """A successful answer."""
    entry = Prediction(filename=None, label="NORMAL", probability=0.25, threshold=0.5)
    response = PredictResponse(
        model=ModelName(name="scripted", version=version),
        request_id="r1",
        provider=provider,
        operating_point="balanced",
        predictions=[entry],
    )
    return Step(body=response.model_dump_json().encode())


def problem(status: int, slug: str, **headers: str | timedelta) -> Step:
    """A problem in the service's format."""
    details = {
        "type": f"/problems/{slug}",
        "title": "A title",
        "status": status,
        "detail": "a detail",
        "request_id": "r2",
    }
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(status, json.dumps(details).encode(), "application/problem+json", sent)


HTML = Step(body=b"<!doctype html><p>It works!", content_type="text/html")
MODEL = Step(body=b'{"name": "scripted", "version": "1", "operating_point": "balanced"}')


class Scripted:
    """The script of a server: its answers in order, the last one repeated; and the requests it received."""

    def __init__(self, port: int, steps: tuple[Step, ...], model: Step) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.model = model
        self.asked: list[tuple[float, str, dict[str, str], bytes]] = []
        self._steps = list(steps)
        self._lock = threading.Lock()

    @property
    def predictions(self) -> list[tuple[float, str, dict[str, str], bytes]]:
        """The prediction requests: time, path, headers and body of each."""
        return [asked for asked in self.asked if asked[1].startswith("/predict")]

    def next_step(self, path: str, headers: dict[str, str], body: bytes) -> Step:
        """The answer to this request."""
        with self._lock:
            self.asked.append((time.monotonic(), path, headers, body))
            if path.startswith("/model"):
                return self.model
            return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]


def _ahead(by: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + by, usegmt=True)


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: some tests are about clients that disconnect or reject the certificate."""


@contextmanager
def scripted(*steps: Step, model: Step = MODEL, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Run a scripted server for the duration of the context."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            step = script.next_step(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            if step.after:
                step.after.wait(DEADLINE_S)
            time.sleep(step.after_s)
            if not step.status:
                self.close_connection = True
                return
            self.send_response(step.status)
            for name, value in {"Content-Type": step.content_type, **step.headers}.items():
                self.send_header(name, value if isinstance(value, str) else _ahead(value))
            self.send_header("Content-Length", str(len(step.body)))
            self.end_headers()
            self.wfile.write(step.body)

    with _Quiet(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        script = Scripted(server.server_address[1], steps, model)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
