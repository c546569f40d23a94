"""The retry policy: when to repeat a failed request, and when to give up."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from service.wire import Problem

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
_NOTIFY_INTERVAL_S = 30.0
# After this many files in a row without an answer, the service is taken to be at fault, not the files.
_MOST_FAILED_IN_A_ROW = 3
T = TypeVar("T")


class Retryable(Exception):
    """A request that failed and may succeed if it is repeated.

    Args:
        reason: for the user, one line.
        service_wide: whether the whole service is affected, so that all requests should pause; else it may be this
            image.
        after_s: seconds to wait, if the service gave them (``Retry-After``).
        problem: the problem that the service returned, if any.
    """

    def __init__(
        self, reason: str, *, service_wide: bool, after_s: float | None = None, problem: Problem | None = None
    ) -> None:
        super().__init__(reason)
        self.service_wide, self.after_s, self.problem = service_wide, after_s, problem


class RetriesExhausted(Exception):
    """A request failed for too long. ``last``: its last failure. ``service_unavailable``: others would fail, too."""

    def __init__(self, last: Retryable, *, service_unavailable: bool) -> None:
        super().__init__(str(last))
        self.last, self.service_unavailable = last, service_unavailable


class RetryPolicy:
    """Exponential backoff with jitter that honours ``Retry-After``.

    All concurrent requests to a service share one policy, so that all of them pause when the service is overloaded.

    Args:
        give_up_after_s: seconds for which one request is repeated.
        notify: receives a message for the user while requests are retried, at most every 30 s.
        clock: monotonic clock, in seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        give_up_after_s: float,
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._give_up_after_s, self._notify, self._clock, self._sleep = give_up_after_s, notify, clock, sleep
        self._paused_until = self._answered_at = self._notified_at = float("-inf")
        self._failed_in_a_row = 0

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call ``attempt`` until it does not raise ``Retryable``.

        Raises:
            RetriesExhausted: it failed for ``give_up_after_s``, or the next wait would exceed that.
        """
        failing_since: float | None = None
        for tries in itertools.count():
            await self._wait_for_pause()
            try:
                result = await attempt()
            except Retryable as failure:
                failing_since = self._clock() if failing_since is None else failing_since
                await self._back_off(failure, tries, failing_since)
            else:
                self._answered_at, self._failed_in_a_row = self._clock(), 0
                return result
        raise AssertionError("not reached")

    async def _wait_for_pause(self) -> None:
        while (remaining_s := self._paused_until - self._clock()) > 0:
            await self._sleep(_jittered(remaining_s))

    async def _back_off(self, failure: Retryable, tries: int, failing_since: float) -> None:
        now = self._clock()
        wait_s = backoff_s(tries) if failure.after_s is None else max(failure.after_s, _FIRST_BACKOFF_S)
        if now + wait_s > failing_since + self._give_up_after_s:
            raise self._give_up(failure, failing_since)
        if now > self._notified_at + _NOTIFY_INTERVAL_S:
            self._notify(f"{failure}; retrying for up to {self._give_up_after_s:g} s")
            self._notified_at = now
        if failure.service_wide:
            self._paused_until = max(self._paused_until, now + wait_s)
        else:
            await self._sleep(_jittered(wait_s))

    def _give_up(self, failure: Retryable, failing_since: float) -> RetriesExhausted:
        self._failed_in_a_row += 1
        silent = failure.service_wide and self._answered_at < failing_since
        unavailable = silent or self._failed_in_a_row >= _MOST_FAILED_IN_A_ROW
        return RetriesExhausted(failure, service_unavailable=unavailable)


def backoff_s(tries: int) -> float:
    """Seconds to wait after a failure that followed ``tries`` failures: 0.5 s, doubling up to 30 s."""
    return float(min(_FIRST_BACKOFF_S * 2 ** min(tries, 16), _LONGEST_BACKOFF_S))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait by the ``Retry-After`` header of a response (RFC 9110, 10.2.3). A date is counted from the
    ``Date`` header of the response, so that the clocks need not agree. None: the header is missing or malformed.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _jittered(wait_s: float) -> float:
    """A wait that is longer by up to a quarter, so that waiting requests are not repeated at the same moment."""
    return wait_s * random.uniform(1, 1.25) + random.uniform(0, 0.05)  # noqa: S311
