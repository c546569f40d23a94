"""Ctrl-C before there is anything to end in an orderly way. Imports nothing that takes time."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from service.cli import INTERRUPTED


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """While modules are imported, Ctrl-C ends the process at once, and nothing is printed.

    Nothing has been written or started then. A ``KeyboardInterrupt`` would surface as a trace, or, out of a module in
    C, as another error. A handler that somebody else has set stays.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    except ValueError:  # not in the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
