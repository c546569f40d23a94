"""The limit of the start, in processes of their own."""

import signal
import sys

import pytest

from tests.commands import run

_SCRIPT = """
import ctypes, logging, signal, threading
from service.workers import watchdog
logging.basicConfig()
watchdog._ALARM_MARGIN_S = {alarm_s}
with watchdog.bounded_start({limit_s}):
    {hangs}
assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
raise SystemExit(7)
"""


def test_a_start_that_waits_for_ever_ends() -> None:
    ended = run([sys.executable, "-c", _SCRIPT.format(limit_s=0.1, alarm_s=300, hangs="threading.Event().wait()")])
    assert ended.returncode == 1
    assert "the start hangs" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the name of a C function")
def test_a_start_that_holds_the_gil_ends() -> None:
    ended = run([sys.executable, "-c", _SCRIPT.format(limit_s=0.1, alarm_s=0.1, hangs="ctypes.PyDLL(None).pause()")])
    assert ended.returncode == -signal.SIGALRM


def test_a_start_in_time_leaves_no_limit() -> None:
    ended = run([sys.executable, "-c", _SCRIPT.format(limit_s=300, alarm_s=300, hangs="pass")])
    assert ended.returncode == 7, ended.stderr
