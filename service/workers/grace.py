"""The grace: how long a shutdown may take, and the forced exit at its end, whatever hangs."""

import contextlib
import logging
import math
import os
import signal
import threading
import time

from service.settings import Settings
from service.telemetry.logs import drain_logging

# Seconds. By then the deadline of the last admitted request has passed; only clients that receive slowly remain.
SLOW_CLIENTS_S = 5
# Seconds after the grace: until a process forces its exit; until the kernel ends it; until the parent kills it.
_EXIT_MARGIN_S, _ALARM_MARGIN_S, KILL_MARGIN_S = 1.5, 2.5, 3.5
# Seconds for which a forced exit waits for the log's last lines.
_LOG_S = 0.5
# Exit code of a forced exit: that of timeout(1) for a command that it had to end.
FORCED_EXIT = 124

log = logging.getLogger(__name__)


def grace_s(settings: Settings) -> float:
    """Seconds from SIGTERM within which every request has been answered or has passed its deadline."""
    return settings.drain_s + settings.upload_s + settings.deadline_s + SLOW_CLIENTS_S


def force_exit_after(seconds: float) -> None:
    """End this process with exit code 124 after this time, if it has not ended by then. Called in the main thread.

    A thread that is inside onnxruntime or a decoder cannot be stopped, and Python waits for it before it exits. If such
    a thread holds the GIL, not even this can run: then SIGALRM, whose default action needs no Python, ends the process
    a moment later.
    """
    ends_at = time.monotonic() + seconds + _EXIT_MARGIN_S
    with contextlib.suppress(RuntimeError):  # the machine allows no more threads; the alarm needs none
        threading.Thread(target=_exit_at, args=(ends_at, seconds), name="grace", daemon=True).start()
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds + _ALARM_MARGIN_S)


def _exit_at(ends_at: float, grace: float) -> None:
    while (left_s := ends_at - time.monotonic()) > 0:
        time.sleep(left_s)
    others = sorted(each.name for each in threading.enumerate() if not each.daemon)
    log.error(
        "the shutdown has not ended within the grace: the process exits now",
        extra={"grace_s": math.ceil(grace), "exit_code": FORCED_EXIT, "threads": others},
    )
    drain_logging(_LOG_S)
    os._exit(FORCED_EXIT)
