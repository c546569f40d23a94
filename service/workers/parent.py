"""The parent process of several workers. It binds the port, forks the workers, and restarts those that exit.

Each worker is a complete service. The parent forks before there is a model, a thread or an event loop, and does nothing
but supervise. It kills workers that are silent, and at the end of the grace those that have not ended.
"""

import contextlib
import gc
import logging
import math
import os
import select
import signal
import socket
import sys
import time
from types import FrameType

from service.settings import Settings, SettingsError
from service.telemetry.totals import Replacements
from service.telemetry.worker_table import NOT_ACCEPTING, WorkerSlot, WorkerTable
from service.workers.coordinator import Coordinator
from service.workers.grace import FORCED_EXIT, KILL_MARGIN_S, grace_s
from service.workers.silence import Silence

# A worker that exits within this time has exited early. After this many early exits in a row the parent gives up.
_EARLY_EXIT_S, _MAX_EARLY_EXITS = 10.0, 5
# Backoff before a restart, per early exit in a row.
_BACKOFF_S = 0.2
# Poll intervals: while the first worker starts or the model is replaced; and otherwise, in case a signal was missed.
_BUSY_POLL_S, _POLL_S = 0.05, 1.0
# Seconds in which a worker whose event loop hangs ends itself, with a stack in the log (service.workers.watchdog).
_OWN_EXIT_S = 3.0
# Exit codes of a worker that hung and was ended by itself or by its alarm (service.workers.grace).
_FORCED = {FORCED_EXIT, -signal.SIGALRM}

log = logging.getLogger(__name__)


def worker_settings(settings: Settings) -> Settings:
    """The settings of one worker: its share of capacity and held bytes.

    The share is rounded up, and is at least what the largest allowed request needs. The share of the CPUs is not set
    here: a worker computes it from ``workers``.
    """
    part = 1 / settings.workers
    return settings.model_copy(
        update={
            "max_connections": math.ceil(settings.max_connections * part),
            "capacity": max(math.ceil(settings.capacity * part), settings.max_images),
            "max_held_bytes": max(math.ceil(settings.max_held_bytes * part), settings.max_body_bytes),
        }
    )


def bind_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of a host name, with asyncio's options; they do not listen yet.

    Raises:
        OSError: an address is in use, or is not an address of this machine.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets = []
    with contextlib.ExitStack() as opened:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = opened.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            sockets.append(listener)
        opened.pop_all()  # they are the caller's from here
    return sockets


class Parent:
    """Starts the workers, restarts those that exit, and stops them all at the end.

    Args:
        settings: of the whole service.
        listeners: bound sockets.
        coordinator: replaces the model of the workers.

    Raises:
        SettingsError: this system cannot fork.
    """

    def __init__(self, settings: Settings, listeners: list[socket.socket], coordinator: Coordinator) -> None:
        if not hasattr(os, "fork"):
            raise SettingsError("XRAY_WORKERS: this system cannot fork processes; set XRAY_WORKERS=1")
        self._listeners, self._table, self._coordinator = listeners, WorkerTable(settings.workers), coordinator
        self._grace_s = grace_s(settings)
        self._silence = Silence(self._table, settings.worker_timeout_s + _OWN_EXIT_S, self._grace_s)
        self._replacements = Replacements(self._table)
        self._killed: set[int] = set()  # process ids
        self._ends_at = math.inf
        self._running: dict[int, tuple[int, float]] = {}  # by process id: number of the worker, start time
        self._early_exits = dict.fromkeys(self._table.workers, 0)  # in a row
        self._failed, self._forced, self._stopping = False, False, False
        self._wakeup_read = self._wakeup_write = -1

    def run(self) -> WorkerSlot | None:
        """Supervise until SIGTERM or SIGINT, and then until all workers have exited.

        Returns:
            in each worker its slot, with which it goes on as a service; in the parent, at the end, None.

        Raises:
            SystemExit: the first worker could not start, and has logged why; or a worker keeps exiting early; or a
                worker had to be killed at the end of the grace.
        """
        gc.freeze()  # keeps today's objects out of garbage collection, so that their memory stays shared after the fork
        self._install_signal_handlers()
        for worker in self._table.workers:
            if slot := self._start(worker):
                return slot
            if worker == 0:
                self._await_first()
        while self._running:
            for worker in self._reap():
                if slot := self._restart(worker):
                    return slot
            self._kill_hanging()
            if not self._stopping:
                self._coordinator.step({worker for worker, _ in self._running.values()})
            self._wait(_BUSY_POLL_S if self._coordinator.is_busy else _POLL_S)
        if self._forced or self._failed:
            sys.exit(FORCED_EXIT if self._forced else 1)
        return None

    def _await_first(self) -> None:
        """Wait until the first worker accepts connections. The others start after it, so an error is logged once."""
        while not self._stopping and self._table.load(0) == NOT_ACCEPTING:
            self._wait(_BUSY_POLL_S)
            if self._stopping:
                return
            exited, status = os.waitpid(next(iter(self._running)), os.WNOHANG)
            if exited:
                code = os.waitstatus_to_exitcode(status)
                if code < 0:
                    log.error(
                        "the first worker was killed during its start; the service exits", extra={"signal": -code}
                    )
                sys.exit(code if code > 0 else 1)

    def _start(self, worker: int) -> WorkerSlot | None:
        """Fork a worker, unless the service is stopping. Signals are blocked meanwhile, so each reaches one process."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        signals = {signal.SIGTERM, signal.SIGINT}
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            if self._stopping:
                return None
            self._silence.forget(worker)
            process = os.fork()
            if not process:
                self._become_worker()
                return WorkerSlot(worker, parent, self._listeners, self._table)
            self._running[process] = worker, time.monotonic()
            if self._stopping:  # since the fork: another thread, that of the log, takes signals that are blocked here
                os.kill(process, signal.SIGTERM)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return None

    def _restart(self, worker: int) -> WorkerSlot | None:
        """Start a worker again after a backoff; give up if it has exited early too often."""
        if self._early_exits[worker] >= _MAX_EARLY_EXITS and not self._stopping:
            log.error(
                "a worker has exited right after its start %d times in a row; the service exits", _MAX_EARLY_EXITS
            )
            self._failed = True
            self._stop(signal.SIGTERM, None)
        self._wait(_BACKOFF_S * self._early_exits[worker])
        return self._start(worker)

    def _reap(self) -> list[int]:
        """The workers that have exited since the last call."""
        exited = []
        for process in list(self._running):
            process_id, status = os.waitpid(process, os.WNOHANG)
            if process_id:
                worker, since = self._running.pop(process)
                self._table.set_load(worker, NOT_ACCEPTING)
                self._record_exit(worker, process, os.waitstatus_to_exitcode(status), time.monotonic() - since)
                exited.append(worker)
        return exited

    def _record_exit(self, worker: int, process: int, code: int, lived_s: float) -> None:
        if self._stopping:
            self._forced |= code in _FORCED
            self._failed |= code not in {0, -signal.SIGTERM, -signal.SIGINT}
            return
        self._replacements.count("silent" if process in self._killed else "exited")
        self._killed.discard(process)
        self._early_exits[worker] = self._early_exits[worker] + 1 if lived_s < _EARLY_EXIT_S else 0
        fields = {"worker": worker, "worker_pid": process, "exit_code": code, "lived_s": round(lived_s, 1)}
        log.error("a worker exited unexpectedly", extra=fields)

    def _kill_hanging(self) -> None:
        """Kill the workers that have been silent for too long, and at the end of the grace those that are left."""
        is_end = time.monotonic() >= self._ends_at
        silent = [] if self._stopping else self._silence.look()
        reason = "has not ended within the grace" if is_end else "has been silent for XRAY_WORKER_TIMEOUT_S"
        for process, (worker, _) in self._running.items():
            if process not in self._killed and (is_end or worker in silent):
                log.error("a worker %s: it is killed", reason, extra={"worker": worker, "worker_pid": process})
                self._killed.add(process)
                self._forced |= is_end
                os.kill(process, signal.SIGKILL)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Send SIGTERM to all workers. Their own copies of the sockets keep the port open while they drain."""
        if not self._stopping:
            self._stopping, self._ends_at = True, time.monotonic() + self._grace_s + KILL_MARGIN_S
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it has exited just now
                os.kill(process, signal.SIGTERM)
        for listener in self._listeners:
            listener.close()

    def _install_signal_handlers(self) -> None:
        self._wakeup_read, self._wakeup_write = os.pipe()
        for descriptor in (self._wakeup_read, self._wakeup_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._coordinator.request)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _wait(self, timeout_s: float) -> None:
        """Wait for a signal, at most this long."""
        if select.select([self._wakeup_read], [], [], timeout_s)[0]:
            os.read(self._wakeup_read, 4096)

    def _become_worker(self) -> None:
        """Remove the parent's signal handlers and wake-up pipe."""
        signal.set_wakeup_fd(-1)  # from Python 3.12 on, asyncio has done so by now
        for descriptor in (self._wakeup_read, self._wakeup_write):
            os.close(descriptor)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's
