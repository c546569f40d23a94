"""The forced exit, in processes of their own."""

import signal
import sys

import pytest

from service.settings import Settings
from service.workers.grace import FORCED_EXIT, grace_s
from tests.commands import run

_SCRIPT = """
import ctypes, logging, threading
from service.workers import grace
logging.basicConfig()
grace._EXIT_MARGIN_S, grace._ALARM_MARGIN_S = 0, {alarm_s}
{hangs}
grace.force_exit_after(0.1)
{waits}
"""
_A_THREAD = "threading.Thread(target=threading.Event().wait, name='hangs').start()"
_HOLDS_THE_GIL = "ctypes.PyDLL(None).pause()"


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    """Python itself would wait for the thread for ever."""
    ended = run([sys.executable, "-c", _SCRIPT.format(alarm_s=300, hangs=_A_THREAD, waits="")])
    assert ended.returncode == FORCED_EXIT
    assert "has not ended within the grace" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the name of a C function")
def test_a_call_that_holds_the_gil_does_not_either() -> None:
    ended = run([sys.executable, "-c", _SCRIPT.format(alarm_s=0.1, hangs="", waits=_HOLDS_THE_GIL)])
    assert ended.returncode == -signal.SIGALRM


def test_a_process_that_ends_in_time_ends_as_it_would() -> None:
    ended = run([sys.executable, "-c", _SCRIPT.format(alarm_s=300, hangs="", waits="raise SystemExit(7)")])
    assert ended.returncode == 7


def test_the_grace_covers_every_deadline_of_a_request() -> None:
    assert grace_s(Settings(drain_s=1, upload_s=2, deadline_s=4)) == 12
