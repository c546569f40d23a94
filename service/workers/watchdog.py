"""Ends a process whose event loop hangs: it could answer nobody, not even a health check or SIGTERM."""

import logging
import os
import sys
import threading
import time
import traceback

from service.workers.silence import Heartbeat

# Seconds between two looks, and the exit code: that of every failure.
_LOOK_EVERY_S, _FAILED = 1.0, 1

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
        stack = traceback.format_stack(sys._current_frames()[self._loop_thread])
        fields = {"timeout_s": self._timeout_s, "exit_code": _FAILED, "stack": "".join(stack)}
        log.error("the event loop hangs: the process exits now, so that it is restarted", extra=fields)
        logging.shutdown()
        os._exit(_FAILED)
