"""Laws of the retry policy, on a simulated clock."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.retry import RetriesExhausted, Retryable, RetryPolicy, backoff_s, retry_after_s

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Clock:
    """Time passes only by sleeping, and advances to the next time at which a sleeper wakes."""

    def __init__(self) -> None:
        self.now = 0.0
        self._wakes: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        self._wakes.append(until)
        await asyncio.sleep(0)  # the other tasks reach their sleep
        while until > min(self._wakes):
            await asyncio.sleep(0)
        self._wakes.remove(until)
        self.now = max(self.now, until)


def policy(clock: Clock, give_up_after_s: float = 60, notify: Callable[[str], None] = lambda text: None) -> RetryPolicy:
    return RetryPolicy(give_up_after_s, notify, clock, clock.sleep)


class Service:
    """Fails ``failures`` times, and then answers; records the times of the attempts."""

    def __init__(self, clock: Clock, failures: float, failure: Retryable) -> None:
        self._clock, self._failures, self._failure = clock, failures, failure
        self.attempts: list[float] = []

    async def attempt(self) -> str:
        self.attempts.append(self._clock())
        if len(self.attempts) <= self._failures:
            raise self._failure
        return "answer"


@pytest.mark.parametrize("service_wide", [True, False])
@given(after_s=st.floats(0, 20), failures=st.integers(0, 3))
async def test_retry_after_is_honoured(service_wide: bool, after_s: float, failures: int) -> None:
    clock = Clock()
    service = Service(clock, failures, Retryable("full", service_wide=service_wide, after_s=after_s))
    assert await policy(clock, 1000).run(service.attempt) == "answer"
    gaps = [later - earlier for earlier, later in pairwise(service.attempts)]
    assert len(gaps) == failures
    assert all(after_s <= gap <= 1.25 * max(after_s, 0.5) + 0.06 for gap in gaps)


@pytest.mark.parametrize("service_wide", [True, False])
async def test_without_retry_after_the_backoff_doubles(service_wide: bool) -> None:
    clock = Clock()
    service = Service(clock, 8, Retryable("broken", service_wide=service_wide))
    await policy(clock, 1000).run(service.attempt)
    gaps = [later - earlier for earlier, later in pairwise(service.attempts)]
    for tries, gap in enumerate(gaps):
        assert backoff_s(tries) <= gap <= 1.25 * backoff_s(tries) + 0.06
    assert backoff_s(0) == 0.5
    assert backoff_s(10**6) == 30


@given(give_up_after_s=st.floats(0.1, 500), after_s=st.one_of(st.none(), st.floats(0, 1000)))
async def test_it_gives_up_in_time(give_up_after_s: float, after_s: float | None) -> None:
    clock = Clock()
    service = Service(clock, float("inf"), Retryable("full", service_wide=True, after_s=after_s))
    with pytest.raises(RetriesExhausted) as exhausted:
        await policy(clock, give_up_after_s).run(service.attempt)
    assert exhausted.value.service_unavailable
    # A wait is started only if it ends in time, apart from the jitter.
    assert clock.now <= 1.25 * give_up_after_s + 0.1


async def test_a_service_wide_failure_pauses_all_requests() -> None:
    clock = Clock()
    shared = policy(clock)
    first = Service(clock, 1, Retryable("full", service_wide=True, after_s=10))
    others = [Service(clock, 0, Retryable("", service_wide=True)) for _ in range(5)]
    await asyncio.gather(*(shared.run(service.attempt) for service in (first, *others)))
    assert first.attempts[0] == 0
    assert all(service.attempts[-1] >= 10 for service in (first, *others))
    assert len({service.attempts[-1] for service in others}) > 1  # jitter


async def test_one_failing_image_is_given_up_alone_and_three_in_a_row_mean_an_unavailable_service() -> None:
    clock = Clock()
    shared = policy(clock, 5)
    bad = Service(clock, float("inf"), Retryable("broke", service_wide=False))
    unavailable = []
    for good_first in (True, False, False):
        if good_first:
            await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
        with pytest.raises(RetriesExhausted) as exhausted:
            await shared.run(bad.attempt)
        unavailable.append(exhausted.value.service_unavailable)
    assert unavailable == [False, False, True]
    await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
    with pytest.raises(RetriesExhausted) as exhausted:
        await shared.run(bad.attempt)
    assert not exhausted.value.service_unavailable


async def test_an_overloaded_service_that_answers_others_is_available() -> None:
    clock = Clock()
    shared = policy(clock, 30)

    async def one_unlucky() -> None:
        full = Service(clock, float("inf"), Retryable("full", service_wide=True, after_s=1))
        with pytest.raises(RetriesExhausted) as exhausted:
            await shared.run(full.attempt)
        assert not exhausted.value.service_unavailable

    async def others() -> None:
        for _ in range(1000):
            await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
            await asyncio.sleep(0)

    await asyncio.gather(one_unlucky(), others())


async def test_notifications_are_limited() -> None:
    clock = Clock()
    notifications: list[str] = []
    shared = policy(clock, 1000, notifications.append)
    for _ in range(20):
        await shared.run(Service(clock, 1, Retryable("full", service_wide=True, after_s=4)).attempt)
    assert 2 <= len(notifications) <= 4
    assert notifications[0] == "full; retrying for up to 1000 s"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("9" * 400, float("inf")),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90),
        ("Wednesday, 25-Nov-26 12:01:30 GMT", 90),  # the two obsolete formats of RFC 9110
        ("Wed Nov 25 12:01:30 2026", 90),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Wed, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_parsed(value: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": value, "Date": format_datetime(NOON, usegmt=True)}) == seconds


def test_without_a_date_header_the_wait_is_counted_from_now() -> None:
    began = datetime.now(UTC)
    found = retry_after_s({"Retry-After": format_datetime(began + timedelta(seconds=100), usegmt=True)})
    passed_s = (datetime.now(UTC) - began).total_seconds()
    assert 99 - passed_s < (found or 0) <= 100  # a date has no fractions of a second
    assert retry_after_s({}) is None
