"""A server under measurement: starts it, waits until it answers, measures its memory, and ends all its processes."""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.comparison.contenders import Contender

_PR_SET_CHILD_SUBREAPER = 36
_START_S = 120
# Seconds that a server may take to end after SIGTERM, and its processes after SIGKILL.
_STOP_S, _KILL_S = 15, 60
_JSON_LENGTH = "Inference-Header-Content-Length"


class NotServing(Exception):
    """A server did not start or end, or its answer is wrong; the message is one line."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that has answered its first image.

    Attributes:
        url: receives the images by POST.
        headers: of each request, beside the type of the image.
        start_s: seconds from the start of its process to its first answer.
        process: that was started.
    """

    url: str
    headers: Mapping[str, str]
    start_s: float
    process: subprocess.Popen[bytes]

    def stop(self) -> list[int]:
        """Send SIGTERM; the processes that are left when it has ended, or has not in 15 s."""
        return _stop(self.process)


def adopt_orphans() -> None:
    """Make this process the subreaper (Linux: ``prctl(2)``, PR_SET_CHILD_SUBREAPER): orphaned descendants become its
    children, so that all are measured and ended.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def serving(contender: Contender, python: Path, scratch: Path, image: bytes) -> Iterator[Server]:
    """Run a server within this context; on exit, end all its processes. This process must have no other children.

    Args:
        contender: the server to start.
        python: interpreter of its environment.
        scratch: for its temporary files and its log.
        image: sent until the server answers it.

    Raises:
        NotServing: the server ended, did not answer in time, or cannot be killed.
    """
    port, log = free_port(), scratch / "log.txt"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            contender.command(python, port),
            cwd=contender.folder,
            env=contender.environment(scratch, port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends the server
        )
    url = f"http://127.0.0.1:{port}{contender.path}"
    try:
        _await_answer(partial(ask, url, image, contender.headers), process, log)
        yield Server(url, contender.headers, time.perf_counter() - began, process)
    finally:
        _stop(process)
        _kill_all()
        process.wait(_KILL_S)


def free_port() -> int:
    """A TCP port that is not in use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str, image: bytes, headers: Mapping[str, str] | None = None) -> float:
    """The probability of an image, from a server; ``headers`` are sent beside the type of the image.

    Raises:
        NotServing: the response has another status.
        httpx.TransportError: the server does not answer.
    """
    sent = {"Content-Type": "image/jpeg", **(headers or {})}
    response = httpx.post(url, content=image, headers=sent, timeout=_START_S)
    if response.status_code != httpx.codes.OK:
        raise NotServing(f"answered {response.status_code}: {response.text[:200]}")
    if _JSON_LENGTH in response.headers:  # Triton's binary answer: JSON of this length, then the tensor
        return float(struct.unpack_from("<f", response.content, int(response.headers[_JSON_LENGTH]))[0])
    answer: dict[str, Any] = response.json()
    return float(answer["predictions"][0]["probability"] if "predictions" in answer else answer["probability"])


def _await_answer(asked: Callable[[], float], process: subprocess.Popen[bytes], log: Path) -> None:
    ends, problem = time.monotonic() + _START_S, "no answer"
    while process.poll() is None and time.monotonic() < ends:
        try:
            asked()
        except (NotServing, httpx.TransportError) as error:
            problem = str(error)
            time.sleep(0.02)
        else:
            return
    last_line = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise NotServing(f"did not start: {' '.join([problem, *last_line])[:300]}")


def memory_mib(processes: Iterable[int]) -> float:
    """Memory of these processes in MiB: the sum of their proportional set sizes, which counts shared pages once."""
    total = 0
    for pid in processes:
        with contextlib.suppress(OSError):  # the process has just ended
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stop(process: subprocess.Popen[bytes]) -> list[int]:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    _reap()
    return descendants(os.getpid())


def _kill_all() -> None:
    """Send SIGKILL to all descendants of this process until none is left.

    Raises:
        NotServing: some are left after a minute. A process that waits for a disk or a device cannot be killed.
    """
    ends = time.monotonic() + _KILL_S
    while found := descendants(os.getpid()):
        if time.monotonic() > ends:
            raise NotServing(f"SIGKILL has not ended these processes within {_KILL_S} s: {found}")
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.02)


def _reap() -> None:
    """Take note of the children that have ended, so that they are gone."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def descendants(process: int) -> list[int]:
    """Children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, pending = [], [process]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found
