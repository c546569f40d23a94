"""The way of results from the compute threads to the event loop, several at once while further tasks wait."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_Delivery = tuple[Callable[["asyncio.Future[Any]", Any], object], "asyncio.Future[Any]", Any]
# Results are delivered to the event loop in groups of this size, or after this many seconds without a further result.
_TOGETHER, _HELD_S = 8, 0.03
# With fewer tasks waiting, every result is delivered at once: the event loop is not busy, and a client waits.
_FEW = 2


class Deliveries:
    """Results on their way to the event loop, several at once while further tasks wait.

    Between two images the event loop's code leaves the CPU's caches (docs/decisions/0041-results-come-together.md). A
    result is held only while a later one is sure to come, and for twice ``_HELD_S`` if that one takes its time.

    Args:
        waiting: returns how many tasks no thread has taken yet.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._held: deque[_Delivery] = deque()
        self._flushes, self._is_timed = 0, False

    def expect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the event loop before a task is queued, and for as long as results may be held."""
        if not self._is_timed and (self._held or self._waiting() >= _FEW):
            self._is_timed = True
            loop.call_later(_HELD_S, self._expire, loop, self._flushes)

    def add(self, loop: asyncio.AbstractEventLoop, delivery: _Delivery) -> None:
        """Called by a thread with the result of its task."""
        self._held.append(delivery)
        if len(self._held) >= min(_TOGETHER, self._waiting() - _FEW + 1):
            self.flush(loop)

    def flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver all held results."""
        self._flushes += 1
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits
            loop.call_soon_threadsafe(self._settle)

    def _expire(self, loop: asyncio.AbstractEventLoop, flushes: int) -> None:
        self._is_timed = False
        if self._flushes == flushes:
            self._settle()
        self.expect(loop)

    def _settle(self) -> None:
        for _ in range(len(self._held)):  # those that come meanwhile have a call of their own
            settle, *result = self._held.popleft()
            settle(*result)


class Awaited(Generic[T]):
    """A result that a thread sets and a coroutine awaits: ``concurrent.futures.Future`` without its locks."""

    __slots__ = ("_deliveries", "_loop", "future")

    def __init__(self, deliveries: Deliveries) -> None:
        self._loop, self._deliveries = asyncio.get_running_loop(), deliveries
        self.future: asyncio.Future[T] = self._loop.create_future()
        deliveries.expect(self._loop)

    def set_running_or_notify_cancel(self) -> bool:
        """Whether the result is still wanted."""
        if is_left := self.future.cancelled():
            self._deliveries.flush(self._loop)  # others may be held for the sake of this one
        return not is_left

    def set_result(self, result: T) -> None:
        """Deliver the result to the event loop."""
        self._deliveries.add(self._loop, (_set_result, self.future, result))

    def set_exception(self, error: BaseException) -> None:
        """Deliver an exception to the event loop."""
        self._deliveries.add(self._loop, (_set_exception, self.future, error))

    def cancel(self) -> bool:
        """Cancel the future, in the event loop."""
        self._deliveries.add(self._loop, (_cancel, self.future, None))
        return True


def _set_result(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # the caller may have given up
        future.set_result(result)


def _set_exception(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _cancel(future: "asyncio.Future[T]", _: None) -> None:
    future.cancel()
