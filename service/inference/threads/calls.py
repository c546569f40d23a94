"""The calls that are running in threads, and for how long: a call that hangs can be detected, but not stopped."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from service.inference.threads.pool import StartedThreads

P = ParamSpec("P")
T = TypeVar("T")


class RunningCalls:
    """Keeps the start of each call that is running. Thread-safe: each operation on the dictionary is atomic."""

    def __init__(self) -> None:
        self._started: dict[object, float] = {}

    def run(self, call: Callable[[], T]) -> T:
        """Run a call in this thread, and count it as running until it returns or raises."""
        token = object()
        self._started[token] = time.monotonic()
        try:
            return call()
        finally:
            del self._started[token]

    @property
    def oldest_s(self) -> float:
        """Seconds for which the oldest call has been running; 0 if there is none."""
        return time.monotonic() - min(started) if (started := list(self._started.values())) else 0.0


class CountedThreads(StartedThreads):
    """A thread pool whose tasks are counted while they run.

    Args:
        calls: where they are counted.
        count: of the threads, 1 or more.
        name: prefix of their names.
    """

    def __init__(self, calls: RunningCalls, count: int, name: str) -> None:
        self._calls = calls
        super().__init__(count, name)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Queue a call.

        Raises:
            RuntimeError: the pool is shut down.
        """
        return super().submit(self._calls.run, partial(fn, *args, **kwargs))
