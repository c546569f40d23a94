"""When to ask a service again that did not answer, and when to stop asking."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from service.wire import Problem

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_SAY_EVERY_S = 30.0
# After so many files in a row that got no answer, it is no longer believed to be the files.
_MOST_LOST = 3
T = TypeVar("T")


class Retryable(Exception):
    """No answer this time; the message says why.

    Args:
        why: in words.
        everybody: it is the service, so nobody should ask for a while; else it may be this image.
        after_s: how long the service said to wait.
        problem: what the service said.
    """

    def __init__(
        self, why: str, *, service_wide: bool, after_s: float | None = None, problem: Problem | None = None
    ) -> None:
        super().__init__(why)
        self.service_wide, self.after_s, self.problem = service_wide, after_s, problem


class RetriesExhausted(Exception):
    """No answer after all. ``last``: why not, the last time. ``service_unavailable``: others would get none either."""

    def __init__(self, last: Retryable, *, service_unavailable: bool) -> None:
        super().__init__(str(last))
        self.last, self.service_unavailable = last, service_unavailable


class RetryPolicy:
    """Shared by all that ask one service, so that they wait together when it says so.

    Args:
        give_up_after_s: how long one image is offered in vain.
        say: told in words why it takes so long, now and then.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        give_up_after_s: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._give_up_after_s, self._say, self._clock, self._sleep = give_up_after_s, say, clock, sleep
        self._paused_until = self._answered_at = self._said_at = float("-inf")
        self._lost = 0

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt until it does not raise ``Retryable``.

        Raises:
            RetriesExhausted: it did for too long.
        """
        failing_since: float | None = None
        for tries in itertools.count():
            await self._wait_for_all()
            try:
                result = await attempt()
            except Retryable as failed:
                failing_since = self._clock() if failing_since is None else failing_since
                await self._wait(failed, tries, failing_since)
            else:
                self._answered_at, self._lost = self._clock(), 0
                return result
        raise AssertionError("not reached")

    async def _wait_for_all(self) -> None:
        while (left := self._paused_until - self._clock()) > 0:
            await self._sleep(_spread(left))

    async def _wait(self, failed: Retryable, tries: int, failing_since: float) -> None:
        now = self._clock()
        wait_s = backoff_s(tries) if failed.after_s is None else max(failed.after_s, _FIRST_WAIT_S)
        if now + wait_s > failing_since + self._give_up_after_s:
            raise self._give_up(failed, failing_since)
        if now > self._said_at + _SAY_EVERY_S:
            self._say(f"{failed}; trying again for up to {self._give_up_after_s:g} s")
            self._said_at = now
        if failed.service_wide:
            self._paused_until = max(self._paused_until, now + wait_s)
        else:
            await self._sleep(_spread(wait_s))

    def _give_up(self, failed: Retryable, failing_since: float) -> RetriesExhausted:
        self._lost += 1
        silent = failed.service_wide and self._answered_at < failing_since
        return RetriesExhausted(failed, service_unavailable=silent or self._lost >= _MOST_LOST)


def backoff_s(tries: int) -> float:
    """Seconds to wait after so many failures before this one: doubling, up to half a minute."""
    return float(min(_FIRST_WAIT_S * 2 ** min(tries, 16), _LONGEST_WAIT_S))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a response's ``Retry-After`` says to wait: seconds, or a date, counted from the response's own ``Date``
    so that clocks need not agree. None: it says nothing that can be understood.
    """
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    until = _date(said)
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


def _spread(wait_s: float) -> float:
    """Somewhat longer, so that all who wait do not come back at once."""
    return wait_s * random.uniform(1, 1.25) + random.uniform(0, 0.05)  # noqa: S311
