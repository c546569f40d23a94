"""A real server: the process that users start, on a port of its own, with its log in a file."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_ADDRESS = re.compile(r"Uvicorn running on https?://127\.0\.0\.1:(\d+)")
_PATIENCE_S = 60


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
        """The log's lines; each must be JSON."""
        return [json.loads(line) for line in self.log.splitlines()]

    def await_ready(self) -> None:
        """Wait for the model to be warm."""
        for _ in range(20 * _PATIENCE_S):
            if httpx.get(f"{self.url}/health/ready", verify=self._trusted or True).status_code == 200:
                return
            time.sleep(0.05)
        raise TimeoutError(self.log)

    def raw(self, request: bytes, timeout_s: float = 10, finish: bool = False) -> bytes:
        """Send bytes, as they are, and give what comes back before the server closes or falls silent."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
                if finish:
                    connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while piece := connection.recv(65536):
                    received += piece
        return received

    def resident_mib(self) -> float:
        """Resident memory now."""
        return resident_mib(self.process.pid)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)

    def _await_port(self) -> int:
        for _ in range(20 * _PATIENCE_S):
            if found := _ADDRESS.search(self.log):
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self.log}")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def running(model: Path, folder: Path, trusted: ssl.SSLContext | None = None, **settings: object) -> Iterator[Server]:
    """Start ``python -m service`` with these settings; it is killed at the end if it still runs. One with a certificate
    is asked by a client that trusts as said.
    """
    port, device = str(settings.pop("port", 0)), str(settings.pop("device", "cpu"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XRAY_")}
    environment |= {f"XRAY_{name.upper()}": str(value) for name, value in settings.items()}
    log, scratch = folder / "server.log", folder / "tmp"
    scratch.mkdir(exist_ok=True)
    environment["TMPDIR"] = str(scratch)
    command = [sys.executable, "-m", "service", "serve", "--model", str(model), "--port", port, "--device", device]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as process:
        try:
            server = Server(process, log, scratch, trusted)
            server.await_ready()
            yield server
        finally:
            process.kill()
