"""A real server: the process that users start, on a free port, with its log in a file."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.waiting import DEADLINE_S, until

_ADDRESS = re.compile(r"Uvicorn running on https?://127\.0\.0\.1:(\d+)")
# A busy machine must not cause a 504 or a 408; a test of these sets its own limits.
_LONG_LIMITS = {"deadline_s": DEADLINE_S, "upload_s": DEADLINE_S, "header_s": DEADLINE_S}
# httpx would replace a connection that has been idle for 5 s by a new one, which another worker may accept.
_KEPT = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=None)


class Server:
    """A running service."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, scratch: Path, trusted: ssl.SSLContext | None
    ) -> None:
        self.process, self._log, self.scratch, self._trusted = process, log, scratch, trusted
        self.port = self._await_port()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._trusted else ''}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return self._log.read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The log's lines; each must be JSON. One that is still being written is left out."""
        return [json.loads(line) for line in self.log.rpartition("\n")[0].splitlines()]

    def client(self, **options: Any) -> httpx.Client:
        """A client of this server with these options of httpx; the caller closes it."""
        return httpx.Client(**self._client_options | options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """The same for coroutines."""
        return httpx.AsyncClient(**self._client_options | options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Send one GET request over a new connection."""
        with self.client() as client:
            return client.get(path, **options)

    def await_ready(self) -> None:
        """Wait for the model to be warm."""
        with self.client() as client:
            until(lambda: client.get("/health/ready").status_code == 200, lambda: self.log)

    def await_log(self, words: str, times: int = 1) -> None:
        """Wait until these words are in the log this many times."""
        until(lambda: self.log.count(words) >= times, lambda: f"{words}, {times} times, in:\n{self.log}")

    def raw(self, request: bytes, finish: bool = False) -> bytes:
        """Send bytes unchanged, and return what the server sends until it closes the connection."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
                if finish:
                    connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    received += piece
        return received

    def resident_mib(self) -> float:
        """Resident memory now."""
        return resident_mib(self.process.pid)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    @property
    def _client_options(self) -> dict[str, Any]:
        return {"base_url": self.url, "timeout": DEADLINE_S, "verify": self._trusted or False, "limits": _KEPT}

    def _await_port(self) -> int:
        until(lambda: _ADDRESS.search(self.log) or self.process.poll() is not None, lambda: self.log)
        if found := _ADDRESS.search(self.log):
            return int(found[1])
        raise RuntimeError(f"the server ended with {self.process.returncode} before it listened: {self.log}")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def running(model: Path, folder: Path, trusted: ssl.SSLContext | None = None, **settings: object) -> Iterator[Server]:
    """Start ``python -m service`` with these settings; it is killed at the end if it still runs.

    ``trusted`` is the clients' TLS context if the server has a certificate. A setting ``program`` names the module to
    run in place of ``service``.
    """
    port, device = str(settings.pop("port", 0)), str(settings.pop("device", "cpu"))
    program = str(settings.pop("program", "service"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XRAY_")}
    environment |= {f"XRAY_{name.upper()}": str(value) for name, value in (_LONG_LIMITS | settings).items()}
    log, scratch = folder / "server.log", folder / "tmp"
    scratch.mkdir(exist_ok=True)
    environment["TMPDIR"] = str(scratch)
    command = [sys.executable, "-m", program, "serve", "--model", str(model), "--port", port, "--device", device]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as process:
        try:
            server = Server(process, log, scratch, trusted)
            server.await_ready()
            yield server
        finally:
            process.kill()
