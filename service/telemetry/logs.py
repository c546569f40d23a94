"""Logging: one JSON object or text per line, on stderr, written by a thread of its own.

    any thread -> line or record -> bounded queue -> writer thread -> stderr

A record without arguments or a trace, such as that of each request, becomes a line in the writer thread, several of
them in a row: one by one, between two images, they cost more (docs/decisions/0040-the-thread-that-decodes-scores.md).

If nobody reads stderr, a write to it blocks for ever once its pipe is full (64 KiB on Linux). Only the writer thread is
held up by that; lines that the queue has no room for are dropped and counted.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.telemetry.formats import LogFormat, formatter_of

# A busy service logs some hundred lines a second, of about 0.5 kB each.
MAX_QUEUED_LINES = 4096
# Seconds for which the writer thread lets records collect.
_COLLECT_S = 0.05
# Seconds for which the end of the process waits for lines that are still queued.
CLOSE_TIMEOUT_S = 2.0
# Seconds between two lines that report dropped ones.
_REPORT_INTERVAL_S = 1.0

log = logging.getLogger(__name__)


def configure_logging(level: str, *, with_pid: bool = False, log_format: LogFormat = "json") -> None:
    """Send every log line of this process to stderr, including uvicorn's and Python warnings.

    A forked process must call this again, because its writer thread stays in the process that forked it.

    Args:
        level: minimum severity, in lower case.
        with_pid: whether each line has the process id; for several processes that share stderr.
        log_format: of the lines.
    """
    formatter = formatter_of(log_format, with_pid=with_pid)
    # Not looked up for each record: no line names its thread, or a place in the code (logging's howto, "Optimization").
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger()
    close_logging()
    root.handlers = [QueuedLines(formatter, _stderr())]
    root.setLevel(level.upper())
    logging.captureWarnings(True)  # Pillow warns of broken metadata
    # uvicorn's access log would record paths and addresses, and duplicate the request lines.
    logging.getLogger("uvicorn.access").disabled = True


def drain_logging(timeout_s: float = CLOSE_TIMEOUT_S) -> None:
    """Wait until the queued lines are written, at most this long. Needed before ``os._exit``."""
    for handler in _queued_lines():
        handler.drain(timeout_s)


def close_logging() -> None:
    """Write the queued lines, within 2 s, and end the threads. logging itself does so at the end of the process."""
    for handler in _queued_lines():
        handler.close()


class QueuedLines(QueueHandler):
    """Has another thread write records; drops them while its queue is full.

    Args:
        formatter: makes a line of a record.
        descriptor: the file descriptor to write to.
        max_queued: lines that may wait to be written.
    """

    def __init__(self, formatter: logging.Formatter, descriptor: int, max_queued: int = MAX_QUEUED_LINES) -> None:
        # Its methods may be called in a signal handler.
        self._lines: SimpleQueue[str | logging.LogRecord] = SimpleQueue()
        super().__init__(self._lines)
        self.setFormatter(formatter)
        self._max_queued, self._dropped, self._reported, self._reported_at = max_queued, 0, 0, float("-inf")
        self._writer = _Writer(self._lines, _Descriptor(self, descriptor))
        self._writer.start()

    @property
    def dropped(self) -> int:
        """The lines dropped so far."""
        return self._dropped

    def prepare(self, record: logging.LogRecord) -> str | logging.LogRecord:
        """The line; or the record, if nothing in it can change until the writer thread formats it."""
        return self.format(record) if record.args or record.exc_info or record.stack_info else record

    def enqueue(self, record: Any) -> None:
        """Queue what ``prepare`` has made, or drop it."""
        if self._lines.qsize() < self._max_queued:
            self._lines.put_nowait(record)
        else:
            self._dropped += 1

    def drop(self) -> None:
        """Count a line that could not be written."""
        self._dropped += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Count a record that could not be formatted. Logging itself would write to stderr, and perhaps block."""
        self._dropped += 1

    def drain(self, timeout_s: float) -> None:
        """Wait until what is queued now is written, at most this long."""
        self._writer.drain(timeout_s)

    def close(self) -> None:
        """Write what is queued, within 2 s, and end the thread. Later records are lost."""
        self._writer.stop()
        super().close()

    def report(self) -> str | None:
        """A line that reports the lines dropped since the last report; None if there are none, or it is too early."""
        since, now = self._dropped - self._reported, time.monotonic()
        if not since or now < self._reported_at + _REPORT_INTERVAL_S or self.formatter is None:
            return None
        self._reported, self._reported_at = self._reported + since, now
        record = log.makeRecord(log.name, logging.ERROR, "", 0, "log lines were dropped: stderr was not read", (), None)
        record.dropped = since
        return self.formatter.format(record)


class DroppedLines(Collector):
    """The metric of dropped log lines, for a registry of Prometheus."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The lines of this process that were dropped so far."""
        count = sum(handler.dropped for handler in _queued_lines())
        yield CounterMetricFamily("xray_log_lines_dropped", "Log lines dropped because stderr was not read.", count)


class _Writer(QueueListener):
    """The writer thread. It is a daemon: a blocked write does not keep the process from ending."""

    def __init__(self, lines: "SimpleQueue[str | logging.LogRecord]", descriptor: "_Descriptor") -> None:
        super().__init__(lines)
        self._lines, self._descriptor = lines, descriptor
        self._is_idle, self._urgent = True, threading.Event()

    def drain(self, timeout_s: float) -> None:
        if self._thread is not None and self._thread.is_alive():  # a forked process does not have the thread
            written = threading.Event()
            self.queue.put_nowait(written)
            self._urgent.set()
            written.wait(timeout_s)
            self._urgent.clear()

    def handle(self, record: Any) -> None:
        if isinstance(record, threading.Event):
            record.set()
        elif isinstance(record, str):
            self._descriptor.write(record)
        else:
            if self._is_idle:
                self._urgent.wait(_COLLECT_S)
            self._descriptor.write_record(record)
        self._is_idle = self._lines.empty()

    def stop(self) -> None:
        if self._thread is not None:
            self.enqueue_sentinel()
            self._urgent.set()
            self._thread.join(CLOSE_TIMEOUT_S)
            self._thread = None


class _Descriptor:
    """Writes each line with one system call, so that the lines of several processes do not mix.

    It writes to the descriptor, not to ``sys.stderr``: a blocked write would hold the lock of that stream. No lock:
    only one thread writes, and at the end of the process another would wait for a blocked write.
    """

    def __init__(self, lines: QueuedLines, descriptor: int) -> None:
        self._lines, self._descriptor = lines, descriptor

    def write(self, line: str) -> None:
        """Write a line, and after it how many were dropped, if any were."""
        try:
            self._write(line)
            if report := self._lines.report():
                self._write(report)
        except OSError:  # nobody has the other end of the pipe open, or the disk is full
            self._lines.drop()

    def write_record(self, record: logging.LogRecord) -> None:
        """Write the line of a record."""
        try:
            line = self._lines.format(record)
        except Exception:
            self._lines.handleError(record)
        else:
            self.write(line)

    def _write(self, line: str) -> None:
        remaining = f"{line}\n".encode(errors="backslashreplace")
        while remaining:
            remaining = remaining[os.write(self._descriptor, remaining) :]


def _queued_lines() -> list[QueuedLines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, QueuedLines)]


def _stderr() -> int:
    with contextlib.suppress(OSError, AttributeError):  # replaced by an object without a descriptor, or closed
        return sys.stderr.fileno()
    return 2
