"""Attacks on a running service by a machine that runs out of something, or whose clock jumps."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests import ROOT
from tests.e2e.server import Server
from tests.waiting import until
from tools.torture import outcome
from tools.torture.outcome import JPEG, NotTried, Outcome, connected, expect, good

_CGROUP = Path("/sys/fs/cgroup")
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def descriptors(server: Server, count: int) -> Outcome:
    """The service may open five further files only, and many more clients come: when they have left, all is well."""
    process = server.process.pid
    folder, before = Path(f"/proc/{process}/fd"), resource.prlimit(process, resource.RLIMIT_NOFILE)
    now = len(list(folder.iterdir()))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (now + 5, before[1]))
    try:
        with connected(server, count, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            expect(server.process.poll() is None, "the service ended")
        until(
            lambda: len(list(folder.iterdir())) <= now + 1, lambda: f"{len(list(folder.iterdir()))} of {now} are open"
        )
        answered = good(server)
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    return Outcome(count, 2 * outcome.GOOD, answered + good(server))


def full_disk(server: Server, audit: Path) -> Outcome:
    """No file may grow, neither the audit log nor the file that stderr goes to: answers go on, lines are counted."""
    process = server.process.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        answered = good(server)
        until(lambda: "xray_audit_failing 1.0" in server.get("/metrics").text)
        until(lambda: "xray_log_lines_dropped_total 0.0" not in server.get("/metrics").text)
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    until(lambda: "xray_audit_failing 0.0" in server.get("/metrics").text)
    answered += good(server)
    command = [sys.executable, "-m", "service", "audit", "verify", str(audit)]
    verified = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    expect(verified.returncode == 0, verified.stderr)
    return Outcome(1, 2 * outcome.GOOD, answered)


def processes(server: Server, costly: bytes) -> Outcome:
    """The service may start no thread and no process: an image that needs one fails alone.

    Raises:
        NotTried: limits of processes cannot be set here.
    """
    with _no_more_processes(server.process.pid):
        answered = good(server)
        refused = httpx.post(f"{server.url}/predict", content=costly, headers=JPEG, timeout=60).status_code
        expect(refused >= 400, f"the image that needs a process got {refused}")
        answered += good(server)
    again = httpx.post(f"{server.url}/predict", content=costly, headers=JPEG, timeout=60).status_code
    expect(again == 200, f"afterwards, the image that needs a process got {again}")
    return Outcome(1, 2 * outcome.GOOD, answered)


@contextmanager
def _no_more_processes(process: int) -> Iterator[None]:
    """Within the context the process can start neither a thread nor a process: a control group's ``pids.max``."""
    root, home = _pids_groups(process)
    folder = root / f"torture-{process}"
    try:
        folder.mkdir()
        # Else it is an ordinary folder, or a group without this controller.
        expect_limit = (folder / "pids.max").exists()
        if expect_limit:
            (folder / "cgroup.procs").write_text(str(process))
            (folder / "pids.max").write_text("1")  # fewer than there are: those stay
    except OSError as error:
        if folder.exists():
            _leave(folder, home)
        raise NotTried(f"no control group with a limit of processes can be made ({error.strerror})") from None
    if not expect_limit:
        folder.rmdir()
        raise NotTried("control groups have no limit of processes here")
    try:
        yield
    finally:
        _leave(folder, home)


def _pids_groups(process: int) -> tuple[Path, Path]:
    """The root of the control groups that limit processes, of version 1 or 2 (cgroups(7)), and the process's own."""
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{process}/cgroup").read_text().splitlines())
    root = _CGROUP / "pids" if "pids" in groups else _CGROUP
    return root, root / groups.get("pids", groups.get("", "/")).lstrip("/")


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
        answered += good(server, outcome.GOOD // 4)
    return Outcome(len(jumps), outcome.GOOD, answered)


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
