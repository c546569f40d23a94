"""The engine for one machine: worker processes, each with one thread for the model, and one part at a time.

A worker that exits is replaced, and its part is processed again. If two workers exit at the same image, the image gets
a problem instead of a result: one image must not end a run.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import signal
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from contract.bundle import BundleError
from service.bulk.errors import StorageError
from service.bulk.job import Job
from service.bulk.part import PartCounts, PartWorker
from service.errors import DeviceError
from service.inference.loading.memory import disable_core_dumps
from service.inference.threads.cpus import usable_cpus
from service.settings import SettingsError
from service.telemetry.logs import configure_logging, drain_logging

log = logging.getLogger(__name__)

# Exits of workers at one image after which it is left out; at one part, and before the first part, that end the run.
_AT_ONE_IMAGE, _AT_ONE_PART, _AT_START = 2, 20, 3
_READY = "ready"
_FATAL = (BundleError, DeviceError, SettingsError, StorageError)
_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold


def run_local(job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
    """Process parts on this machine; an ``Engine`` (``service.bulk.job``)."""
    count = min(job.workers or usable_cpus(), job.parts)
    if count:
        with _Workers(job, count) as workers:
            workers.run(iter(numbers), on_done)


class _Worker:
    """One process, and the part that it works on."""

    def __init__(self, job: Job) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        # In shared memory, so that it can be read after the process has exited: which image of the part is in progress.
        self.place = _SPAWN.RawValue(ctypes.c_long, -1)
        self.part: int | None = None
        self.ready = False
        self.process = _SPAWN.Process(target=_work, args=(job.where, dict(job.fields), theirs, self.place), daemon=True)
        with _sigint_ignored():  # a terminal sends Ctrl-C to the whole process group; this process ends the others
            self.process.start()
        theirs.close()

    def give(self, number: int, left_out: set[int]) -> None:
        """Assign a part to it."""
        self.part = number
        with contextlib.suppress(OSError):  # it has exited; ``run`` finds that when it reads the connection
            self.connection.send((number, left_out))


class _Workers:
    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._workers = [_Worker(job) for _ in range(count)]
        self._again: list[int] = []
        self._left_out: defaultdict[int, set[int]] = defaultdict(set)
        self._ends: Counter[tuple[int | None, int | None]] = Counter()

    def run(self, numbers: Iterator[int], on_done: Callable[[PartCounts], object]) -> None:
        """Process all parts."""
        while self._workers:
            by_connection = {worker.connection: worker for worker in self._workers}
            for connection in wait(list(by_connection)):
                worker = by_connection[connection]  # type: ignore[index]
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    self._replace(worker)
                    continue
                if isinstance(answer, Exception):
                    raise answer
                worker.ready = True
                if isinstance(answer, PartCounts):
                    worker.part = None
                    on_done(answer)
                self._give_next(worker, numbers)

    def _give_next(self, worker: _Worker, numbers: Iterator[int]) -> None:
        number = self._again.pop() if self._again else next(numbers, None)
        if number is None:
            self._workers.remove(worker)
            _end(worker)
        else:
            worker.give(number, self._left_out[number])

    def _replace(self, worker: _Worker) -> None:
        """Start another worker in place of one that has exited."""
        self._workers.remove(worker)
        worker.process.join()
        part, place = worker.part, worker.place.value
        log.error("a worker process exited and is replaced", extra={"exit_code": worker.process.exitcode, "part": part})
        self._ends[part, None] += 1
        if part is not None:
            self._again.append(part)
            self._ends[part, place] += 1
            if self._ends[part, place] >= _AT_ONE_IMAGE:
                self._left_out[part].add(place)
        if self._ends[part, None] >= (_AT_START if part is None else _AT_ONE_PART):
            where = "before their first part" if part is None else f"at part {part}"
            raise StorageError(f"the worker processes keep exiting {where}: is there enough memory?")
        self._workers.append(_Worker(self._job))

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the workers. Nothing is lost: the file of a part is complete or absent."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()


def _end(worker: _Worker) -> None:
    with contextlib.suppress(OSError):
        worker.connection.send(None)
    worker.connection.close()
    worker.process.join()


def _work(where: str, fields: Mapping[str, Any], connection: Connection, place: Any) -> None:
    """The main function of a worker process: process parts until there are no more, or the parent has exited."""
    start_logging()
    try:
        # The errors that are suppressed: the parent has exited.
        with contextlib.suppress(EOFError, OSError), contextlib.closing(PartWorker(where, fields)) as worker:
            _serve(worker, connection, place)
    except _FATAL as error:
        connection.send(error)
    except Exception:
        log.exception("a part failed")
        connection.send(StorageError("a part failed with an unexpected error; the log has the cause"))
    drain_logging()


def _serve(worker: PartWorker, connection: Connection, place: Any) -> None:
    connection.send(_READY)
    while received := connection.recv():
        number, left_out = received

        def at(index: int) -> None:
            place.value = index
            if connection.poll():  # not a message, but its end: the parent has exited
                raise EOFError

        connection.send(worker.do(number, left_out, at))


def start_logging() -> None:
    """For a process that works on parts: only errors are logged, and a crash writes no image to the disk."""
    disable_core_dumps()
    configure_logging("error", with_pid=True, log_format="auto")


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
