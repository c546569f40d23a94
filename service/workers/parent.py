"""Several processes on one port: a parent that holds the port and the pieces, and workers, each a whole service.

The parent forks before there is a model, a thread or an event loop. It watches, and does nothing else.
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
from service.telemetry.worker_table import NOT_ACCEPTING, WorkerSlot, WorkerTable

# A worker that dies before it has lived so long has died early. So often in a row, and the parent gives up.
_EARLY_S, _MAX_EARLY = 10.0, 5
# Each early death is waited after, so that all of them together take a few seconds.
_WAIT_S = 0.2
# How often the parent looks at the first worker while it starts; and at all of them, if no signal told it to.
_FIRST_S, _LOOK_S = 0.05, 1.0

log = logging.getLogger(__name__)


def divided(settings: Settings) -> Settings:
    """The settings of one worker: its share of seats and bytes. (Its share of the CPUs it takes itself, as it knows how
    many workers there are.) A worker has room for the largest request that is allowed, also where its
    share would be less.
    """
    part = 1 / settings.workers
    return settings.model_copy(
        update={
            "capacity": max(math.ceil(settings.capacity * part), settings.max_images),
            "max_held_bytes": max(math.ceil(settings.max_held_bytes * part), settings.max_body_bytes),
        }
    )


def listen_at(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of a name, as asyncio's would be; they do not listen yet.

    Raises:
        OSError: one is taken, or none is of this machine.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        sockets.append(listener)
    return sockets


class Parent:
    """Starts workers, starts those anew that die, and ends them all.

    Args:
        workers: how many.
        listeners: bound sockets.

    Raises:
        SettingsError: this system cannot fork.
    """

    def __init__(self, workers: int, listeners: list[socket.socket]) -> None:
        if not hasattr(os, "fork"):
            raise SettingsError("XRAY_WORKERS: this system cannot fork processes, so one is all there is")
        self._listeners, self._table = listeners, WorkerTable(workers)
        self._running: dict[int, tuple[int, float]] = {}  # by process id: which worker, and since when
        self._early = dict.fromkeys(self._table.workers, 0)
        self._failed, self._ending = False, False
        self._woken = self._waker = -1

    def run(self) -> WorkerSlot | None:
        """Watch until SIGTERM or SIGINT, and until all workers have ended. Returns in each worker with its place, to go
        on as a service; and in the parent at the end, with None.

        Raises:
            SystemExit: the first worker could not start, and has said why; or workers die again and again.
        """
        gc.freeze()  # what is there now is shared, as long as no collector touches it
        self._hear_signals()
        for worker in self._table.workers:
            if slot := self._start(worker):
                return slot
            if worker == 0:
                self._await_first()
        while self._running:
            for worker in self._reap():
                if slot := self._again(worker):
                    return slot
            self._wait(_LOOK_S)
        if self._failed:
            sys.exit(1)
        return None

    def _await_first(self) -> None:
        """Until the first takes connections there is no other: what is wrong, one tells."""
        while not self._ending and self._table.load(0) == NOT_ACCEPTING:
            self._wait(_FIRST_S)
            if self._ending:
                return
            ended, status = os.waitpid(next(iter(self._running)), os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code < 0:
                    log.error("the first worker was killed while it started", extra={"signal": -code})
                sys.exit(code if code > 0 else 1)

    def _start(self, worker: int) -> WorkerSlot | None:
        """Fork, unless the end has come. A signal that comes meanwhile waits until it is clear whose it is."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        signals = {signal.SIGTERM, signal.SIGINT}
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            if self._ending:
                return None
            process = os.fork()
            if not process:
                self._become_worker()
                return WorkerSlot(worker, parent, self._listeners, self._table)
            self._running[process] = worker, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return None

    def _again(self, worker: int) -> WorkerSlot | None:
        """Start a worker anew, unless that has been in vain too often."""
        if self._early[worker] >= _MAX_EARLY and not self._ending:
            log.error("a worker dies as soon as it has started, again and again: the service ends")
            self._failed = True
            self._end(signal.SIGTERM, None)
        self._wait(_WAIT_S * self._early[worker])
        return self._start(worker)

    def _reap(self) -> list[int]:
        """The workers that have ended since this was asked last."""
        dead = []
        for process in list(self._running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                worker, since = self._running.pop(process)
                self._table.set_load(worker, NOT_ACCEPTING)
                self._record_exit(worker, process, os.waitstatus_to_exitcode(status), time.monotonic() - since)
                dead.append(worker)
        return dead

    def _record_exit(self, worker: int, process: int, code: int, lived_s: float) -> None:
        if self._ending:
            self._failed |= code not in {0, -signal.SIGTERM, -signal.SIGINT}
            return
        self._early[worker] = self._early[worker] + 1 if lived_s < _EARLY_S else 0
        told = {"worker": worker, "worker_pid": process, "exit_code": code, "lived_s": round(lived_s, 1)}
        log.error("a worker has ended by itself", extra=told)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Tell all workers to end. Their own copies of the sockets keep the port open while they drain."""
        self._ending = True
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):  # it has ended in this moment
                os.kill(process, signal.SIGTERM)
        for listener in self._listeners:
            listener.close()

    def _hear_signals(self) -> None:
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _wait(self, longest_s: float) -> None:
        """Until a signal comes, or so long."""
        if select.select([self._woken], [], [], longest_s)[0]:
            os.read(self._woken, 4096)

    def _become_worker(self) -> None:
        """Undo what is the parent's alone."""
        signal.set_wakeup_fd(-1)  # from Python 3.12 on, asyncio has done so by now
        for end in (self._woken, self._waker):
            os.close(end)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
