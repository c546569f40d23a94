"""Ends a process whose event loop hangs, so that it answers neither requests, health checks nor SIGTERM; or whose start
hangs.
"""

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from service.telemetry.logs import drain_logging
from service.workers.silence import Heartbeat

# Seconds between two looks, and the exit code: that of every failure.
_LOOK_EVERY_S, _FAILED = 1.0, 1
# Seconds after the limit of the start, until the kernel ends the process; and for the log's last lines.
_ALARM_MARGIN_S, _LOG_S = 2.0, 0.5
_HAS_ALARM = hasattr(signal, "setitimer")

log = logging.getLogger(__name__)


class Watchdog:
    """Watches the event loop of this process, which is to call ``beat`` several times a second.

    A thread that hangs with the GIL keeps this from running; with several workers, the parent then kills the process.

    Args:
        timeout_s: silence after which the process ends.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s, self._beats, self._is_open = timeout_s, 0, True
        self._loop_thread = threading.get_ident()

    def beat(self) -> None:
        """Show that the event loop runs. The first beat starts the watch; called in the thread of the event loop."""
        self._beats += 1
        if self._beats == 1:
            self._loop_thread = threading.get_ident()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """End the watch: the process shuts down, which is bounded otherwise."""
        self._is_open = False

    def _watch(self) -> None:
        heartbeat = Heartbeat()
        while self._is_open and heartbeat.observe(self._beats) <= self._timeout_s:
            time.sleep(_LOOK_EVERY_S)
        if self._is_open:
            self._exit()

    def _exit(self) -> None:
        _exit_because("the event loop hangs", self._timeout_s, self._loop_thread)


@contextmanager
def bounded_start(timeout_s: float) -> Iterator[None]:
    """End this process with exit code 1 if what is within this context takes longer: loading a model, for one, from a
    disk that does not answer. Nobody asks a service that is starting for its health.

    If the thread that hangs holds the GIL, the process ends by SIGALRM a moment later. Called in the main thread.
    """
    done, thread = threading.Event(), threading.get_ident()

    def watch() -> None:
        if not done.wait(timeout_s):
            _exit_because("the start hangs (XRAY_START_S)", timeout_s, thread)

    watcher = threading.Thread(target=watch, name="start", daemon=True)
    watcher.start()
    before = signal.setitimer(signal.ITIMER_REAL, timeout_s + _ALARM_MARGIN_S) if _HAS_ALARM else None
    try:
        yield
    finally:
        done.set()
        watcher.join()  # the process may fork next
        if before:
            signal.setitimer(signal.ITIMER_REAL, *before)


def _exit_because(what: str, timeout_s: float, thread: int) -> None:
    stack = traceback.format_stack(sys._current_frames()[thread])
    fields = {"timeout_s": timeout_s, "exit_code": _FAILED, "stack": "".join(stack)}
    log.error("%s: the process exits now, so that it is restarted", what, extra=fields)
    drain_logging(_LOG_S)
    os._exit(_FAILED)
