"""A node as users start it: a process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import ROOT
from tests.commands import run
from tests.waiting import DEADLINE_S, until

_PORTS = re.compile(r"listening: DICOM on port (\d+), metrics and health on port (\d+)")


class RunningNode:
    """A running node. ``port``: of DICOM; ``http_port``: of metrics and health."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        until(lambda: _PORTS.search(self.log) or process.poll() is not None, lambda: self.log)
        found = _PORTS.search(self.log)
        assert found, f"the node ended with {process.returncode}: {self.log}"
        self.port, self.http_port = int(found[1]), int(found[2])

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text()

    def health(self) -> dict[str, Any]:
        """The answer to ``GET /health``."""
        return dict(httpx.get(f"http://127.0.0.1:{self.http_port}/health", timeout=DEADLINE_S).json())

    def metrics(self) -> str:
        """The answer to ``GET /metrics``."""
        return httpx.get(f"http://127.0.0.1:{self.http_port}/metrics", timeout=DEADLINE_S).text

    def await_idle(self) -> None:
        """Wait until nothing waits."""
        until(lambda: not self.health()["waiting"] and not self.health()["undelivered"], lambda: self.log)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def write_config(folder: Path, service_url: str, pacs_port: int, scp: str = "", stow: str = "") -> Path:
    """A configuration with one destination, by C-STORE or that of ``stow``. ``scp``: further entries of ``[scp]``."""
    pacs = f"""
[[destinations]]
name = "pacs"
type = "c-store"
address = "127.0.0.1"
port = {pacs_port}
ae_title = "PACS"
timeout_s = {DEADLINE_S}
"""
    path = folder / "node.toml"
    path.write_text(
        f"""
drain_s = {DEADLINE_S}
[scp]
address = "127.0.0.1"
port = 0
calling_ae_titles = ["MODALITY", "PACS"]
{scp}
[spool]
folder = "spool"
min_free_bytes = 0
[service]
url = "{service_url}"
timeout_s = {DEADLINE_S}
[http]
port = 0
{stow or pacs}
"""
    )
    return path


@contextmanager
def running(config: Path, command: Sequence[str] = ("-m", "node")) -> Iterator[RunningNode]:
    """Start a node; it is killed at the end if it still runs. The log of an earlier one is overwritten."""
    log = config.parent / "node.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, *command, "--config", str(config)],
            stderr=stderr,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        try:
            yield RunningNode(process, log)
        finally:
            process.kill()


def node_command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command beside the node."""
    return run([sys.executable, "-m", "node", "--config", config, *arguments], cwd=ROOT)


def spooled(config: Path) -> list[str]:
    """The files of objects and results in the spool."""
    return [
        path.name for name in ("objects", "results", "incoming") for path in (config.parent / "spool" / name).iterdir()
    ]
