"""A store of S3 on the loopback (moto), and a proxy in front of it that refuses, fails or breaks off as a test says."""

import http.client
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pyarrow import fs

from tests import ROOT
from tests.waiting import until

# Status, or None: the connection ends in the middle of the body; for a method and a path.
Fault = Callable[[str, str], int | bool | None]
HEALTHY: Fault = lambda method, path: False  # noqa: E731
_CODES = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}


def server() -> Path:
    """The program; tests are skipped without it."""
    found = ROOT / "build" / "store" / "bin" / "moto_server"  # in the version that is locked: others break off uploads
    if not found.exists():
        pytest.skip("no moto_server: run these tests by `make store`")
    return found


@contextmanager
def running() -> Iterator[str]:
    """The address of a store without buckets, ``127.0.0.1:PORT``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AWS"))}
    command = [str(server()), "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        lines: list[str] = []
        reader = threading.Thread(target=lines.extend, args=[process.stderr], daemon=True)
        reader.start()
        try:
            said = until(lambda: re.search(r"Running on http://(\S+)", "".join(lines)), lambda: lines)
            yield said[1]
        finally:
            process.kill()
            process.wait()
            reader.join()


class Proxy(ThreadingHTTPServer):
    """Passes requests on, but for those that ``fault`` is about; ``seen``: method and path of each."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.fault, self.seen = upstream, HEALTHY, list[tuple[str, str]]()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        path = urlsplit(self.path).path
        self.server.seen.append((self.command, path))
        fault = self.server.fault(self.command, path)
        if fault is None:
            self.rfile.read(int(self.headers.get("Content-Length") or 8) // 2)
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        if fault:
            self._answer(int(fault), {}, f"<Error><Code>{_CODES[int(fault)]}</Code></Error>".encode())
            return
        upstream = http.client.HTTPConnection(self.server.upstream)
        headers = {name: value for name, value in self.headers.items() if name != "Expect"}
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
        self._answer(response.status, kept, response.read())
        upstream.close()

    def _body(self) -> bytes:
        """The body as it was sent, chunks with their sizes."""
        if "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(line := self.rfile.readline(), 16):
            body += line + self.rfile.read(size + 2)
        body += line
        while (trailer := self.rfile.readline()) != b"\r\n":
            body += trailer
        return body + b"\r\n"

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        if self.command != "HEAD" or "Content-Length" not in headers:
            headers = headers | {"Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""


_HOP = {"connection", "transfer-encoding", "date", "server"}


def client(address: str) -> fs.S3FileSystem:
    """What the tests look at the store with."""
    options = {"access_key": "key", "secret_key": "of a test", "endpoint_override": address, "scheme": "http"}
    return fs.S3FileSystem(**options, region="us-east-1", allow_bucket_creation=True)
