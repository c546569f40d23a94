"""The calls that are running in threads, and for how long: a call that hangs cannot be stopped, but it can be seen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class RunningCalls:
    """Keeps the start of each call that is running. Thread-safe: each operation on the dictionary is atomic.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: dict[object, float] = {}

    def run(self, call: Callable[[], T]) -> T:
        """Run a call in this thread, and count it as running until it returns or raises."""
        token = object()
        self._started[token] = self._clock()
        try:
            return call()
        finally:
            del self._started[token]

    @property
    def oldest_s(self) -> float:
        """Seconds for which the oldest call has been running; 0 if there is none."""
        return self._clock() - min(started) if (started := list(self._started.values())) else 0.0
