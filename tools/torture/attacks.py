"""Attacks on a running service by clients, and by a machine that runs out of something.

Each attack sends good requests meanwhile or afterwards, which must all be answered.
"""

import resource
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import ROOT
from tests.drawings import jpeg
from tests.e2e.server import Server
from tests.waiting import until

GOOD = 40  # good requests during each attack, and as many after it
_JPEG = {"Content-Type": "image/jpeg"}
_UPLOAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
_HEADER = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
_CGROUP = Path("/sys/fs/cgroup")
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class NotTried(Exception):
    """The machine does not allow the attack; the message says why."""


class Broken(Exception):
    """The service did not behave as it should; the message says how."""


def expect(condition: bool, message: str) -> None:
    """Check a condition of an attack.

    Raises:
        Broken: it is not true.
    """
    if not condition:
        raise Broken(message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack showed.

    Attributes:
        tried: how many connections, inputs or faults.
        sent: good requests sent meanwhile and afterwards.
        answered: of these, the ones answered as they should be.
    """

    tried: int
    sent: int
    answered: int


def good(server: Server, count: int | None = None) -> int:
    """Send good requests one after the other, ``GOOD`` by default; how many are answered with 200."""
    count = GOOD if count is None else count
    with server.client() as client:
        return sum(client.post("/predict", content=jpeg(), headers=_JPEG).status_code == 200 for _ in range(count))


@contextmanager
def connected(server: Server, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent the beginning of a request."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(count)]
        for connection in found:
            if first:
                connection.sendall(first)
            connection.setblocking(False)
        yield found


def await_closed(connections: list[socket.socket]) -> None:
    """Wait until the service has closed all of these; it may have answered before."""
    left = set(connections)

    def closed() -> bool:
        for connection in list(left):
            try:
                if not connection.recv(65536):
                    left.discard(connection)
            except BlockingIOError:
                continue
            except OSError:
                left.discard(connection)
        return not left

    until(closed, lambda: f"{len(left)} connections are still open")


def idle(server: Server, count: int) -> Outcome:
    """Connections that send nothing; the service closes them when their header is due."""
    with connected(server, count, b"") as connections:
        answered = good(server)
        await_closed(connections)
    return Outcome(count, 2 * GOOD, answered + good(server))


def slow(server: Server, count: int) -> Outcome:
    """Connections that send a byte now and then, half of them in the header and half in the body."""
    with connected(server, count // 2, _HEADER) as one, connected(server, count - count // 2, _UPLOAD) as other:
        answered = 0
        for _ in range(4):
            for connection in (*one, *other):
                try:
                    connection.send(b"x")
                except OSError:
                    continue
            answered += good(server, GOOD // 4)
        await_closed([*one, *other])
    return Outcome(count, 2 * GOOD, answered + good(server))


def hang_ups(server: Server, count: int) -> Outcome:
    """Clients that close their connection right after the upload; no slot stays taken."""
    body = jpeg()
    request = _UPLOAD.replace(b"100000", str(len(body)).encode()) + body
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request)
    until(lambda: "xray_seats_taken 0.0" in server.get("/metrics").text)
    return Outcome(count, GOOD, good(server))


def never_reads(server: Server, count: int) -> Outcome:
    """Clients that send requests ahead and never read an answer."""
    with connected(server, count, b"") as connections:
        selector = selectors.DefaultSelector()
        for connection in connections:
            selector.register(connection, selectors.EVENT_WRITE)
        for key, _ in selector.select(1):
            for _ in range(100):
                try:
                    key.fileobj.send(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)  # type: ignore[union-attr]
                except OSError:
                    break
        answered = good(server)
    return Outcome(count, 2 * GOOD, answered + good(server))


def descriptors(server: Server, count: int) -> Outcome:
    """The service may open five further files only, and many more clients come: when they have left, all is well."""
    process = server.process.pid
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    now = len(list(Path(f"/proc/{process}/fd").iterdir()))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (now + 5, before[1]))
    with connected(server, count, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        expect(server.process.poll() is None, "the service ended")
    answered = good(server)
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    return Outcome(count, 2 * GOOD, answered + good(server))


def full_disk(server: Server, audit: Path) -> Outcome:
    """No file may grow, neither the audit log nor the file that stderr goes to: answers go on, lines are counted."""
    process = server.process.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (1, before[1]))
    answered = good(server)
    until(lambda: "xray_audit_failing 1.0" in server.get("/metrics").text)
    expect("xray_log_lines_dropped_total 0.0" not in server.get("/metrics").text, "no log line was dropped")
    resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    until(lambda: "xray_audit_failing 0.0" in server.get("/metrics").text)
    answered += good(server)
    command = [sys.executable, "-m", "service", "audit", "verify", str(audit)]
    verified = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    expect(verified.returncode == 0, verified.stderr)
    return Outcome(1, 2 * GOOD, answered)


def processes(server: Server, costly: bytes) -> Outcome:
    """The service may start no thread and no process: an image that needs one fails alone.

    Raises:
        NotTried: limits of processes cannot be set here.
    """
    with _no_more_processes(server.process.pid):
        answered = good(server)
        refused = httpx.post(f"{server.url}/predict", content=costly, headers=_JPEG, timeout=60).status_code
        expect(refused >= 400, f"the image that needs a process got {refused}")
        answered += good(server)
    again = httpx.post(f"{server.url}/predict", content=costly, headers=_JPEG, timeout=60).status_code
    expect(again == 200, f"afterwards, the image that needs a process got {again}")
    return Outcome(1, 2 * GOOD, answered)


@contextmanager
def _no_more_processes(process: int) -> Iterator[None]:
    """Within the context the process can start neither a thread nor a process: a control group's ``pids.max``."""
    folder = _CGROUP / f"torture-{process}"
    home = _CGROUP / Path(f"/proc/{process}/cgroup").read_text().rpartition(":")[2].strip().lstrip("/")
    try:
        folder.mkdir()
        (folder / "cgroup.procs").write_text(str(process))
        (folder / "pids.max").write_text(str(len(list(Path(f"/proc/{process}/task").iterdir()))))
    except OSError as error:
        if folder.exists():
            _leave(folder, home)
        raise NotTried(f"no control group with a limit of processes can be made ({error.strerror})") from None
    try:
        yield
    finally:
        _leave(folder, home)


def _leave(folder: Path, home: Path) -> None:
    def left() -> bool:
        for process in (folder / "cgroup.procs").read_text().split():
            (home / "cgroup.procs").write_text(process)
        return not (folder / "cgroup.procs").read_text()

    until(left)
    folder.rmdir()


def clock(server: Server, clock_file: Path) -> Outcome:
    """The clock of the machine jumps by an hour, there and back; deadlines go by another clock."""
    answered = 0
    jumps = ("+3600", "-3600", "+86400", "+0")
    for jump in jumps:
        clock_file.write_text(jump)
        answered += good(server, GOOD // 4)
    return Outcome(len(jumps), GOOD, answered)


def with_false_clock(clock_file: Path) -> dict[str, str]:
    """Environment variables of a process whose clock the file sets.

    Raises:
        NotTried: libfaketime is not installed.
    """
    if not _FAKETIME.exists():
        raise NotTried("libfaketime is not installed (Debian: apt-get install faketime)")
    clock_file.write_text("+0")
    # The monotonic clock never jumps.
    options = {
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(clock_file),
    }
    return {"LD_PRELOAD": str(_FAKETIME), **options}
