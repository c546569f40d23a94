"""When a service is asked again: laws of waiting, on a clock of their own."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.retry import RetriesExhausted, Retryable, RetryPolicy, backoff_s, retry_after_s

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Clock:
    """Time passes only by sleeping, to the next moment at which somebody wakes."""

    def __init__(self) -> None:
        self.now = 0.0
        self._wakes: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        self._wakes.append(until)
        await asyncio.sleep(0)  # whoever sleeps too, is asleep now
        while until > min(self._wakes):
            await asyncio.sleep(0)
        self._wakes.remove(until)
        self.now = max(self.now, until)


def patience(clock: Clock, give_up_after_s: float = 60, say: Callable[[str], None] = lambda text: None) -> RetryPolicy:
    return RetryPolicy(give_up_after_s, say, clock, clock.sleep)


class Service:
    """Fails so many times, and then answers; keeps the times at which it was asked."""

    def __init__(self, clock: Clock, failures: float, failed: Retryable) -> None:
        self._clock, self._failures, self._failed = clock, failures, failed
        self.asked: list[float] = []

    async def attempt(self) -> str:
        self.asked.append(self._clock())
        if len(self.asked) <= self._failures:
            raise self._failed
        return "answer"


@pytest.mark.parametrize("service_wide", [True, False])
@given(after_s=st.floats(0, 20), failures=st.integers(0, 3))
async def test_it_never_asks_before_it_was_told_to(service_wide: bool, after_s: float, failures: int) -> None:
    clock = Clock()
    service = Service(clock, failures, Retryable("full", service_wide=service_wide, after_s=after_s))
    assert await patience(clock, 1000).run(service.attempt) == "answer"
    gaps = [later - sooner for sooner, later in zip(service.asked, service.asked[1:], strict=False)]
    assert len(gaps) == failures
    assert all(after_s <= gap <= 1.25 * max(after_s, 0.5) + 0.06 for gap in gaps)


@pytest.mark.parametrize("service_wide", [True, False])
async def test_without_being_told_it_waits_ever_longer(service_wide: bool) -> None:
    clock = Clock()
    service = Service(clock, 8, Retryable("broken", service_wide=service_wide))
    await patience(clock, 1000).run(service.attempt)
    gaps = [later - sooner for sooner, later in zip(service.asked, service.asked[1:], strict=False)]
    for tries, gap in enumerate(gaps):
        assert backoff_s(tries) <= gap <= 1.25 * backoff_s(tries) + 0.06
    assert backoff_s(0) == 0.5
    assert backoff_s(10**6) == 30


@given(give_up_after_s=st.floats(0.1, 500), after_s=st.one_of(st.none(), st.floats(0, 1000)))
async def test_it_gives_up_in_time(give_up_after_s: float, after_s: float | None) -> None:
    clock = Clock()
    service = Service(clock, float("inf"), Retryable("full", service_wide=True, after_s=after_s))
    with pytest.raises(RetriesExhausted) as given_up:
        await patience(clock, give_up_after_s).run(service.attempt)
    assert given_up.value.service_unavailable
    # What it was told to wait for is begun only if it ends in time; it ends a little later, so as not to come in step.
    assert clock.now <= 1.25 * give_up_after_s + 0.1


async def test_while_one_is_told_to_wait_nobody_asks() -> None:
    clock = Clock()
    shared = patience(clock)
    first = Service(clock, 1, Retryable("full", service_wide=True, after_s=10))
    others = [Service(clock, 0, Retryable("", service_wide=True)) for _ in range(5)]
    await asyncio.gather(*(shared.run(service.attempt) for service in (first, *others)))
    assert first.asked[0] == 0
    assert all(asked >= 10 for service in (first, *others) for asked in service.asked[-1:])
    assert len({service.asked[-1] for service in others}) > 1  # spread


async def test_one_image_that_breaks_it_is_given_up_alone_and_the_third_in_a_row_is_not() -> None:
    clock = Clock()
    shared = patience(clock, 5)
    bad = Service(clock, float("inf"), Retryable("broke", service_wide=False))
    outcomes = []
    for good_first in (True, False, False):
        if good_first:
            await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
        with pytest.raises(RetriesExhausted) as given_up:
            await shared.run(bad.attempt)
        outcomes.append(given_up.value.service_unavailable)
    assert outcomes == [False, False, True]
    await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
    with pytest.raises(RetriesExhausted) as given_up:
        await shared.run(bad.attempt)
    assert not given_up.value.service_unavailable


async def test_a_full_service_that_answers_others_is_not_hopeless() -> None:
    clock = Clock()
    shared = patience(clock, 30)

    async def one_unlucky() -> None:
        full = Service(clock, float("inf"), Retryable("full", service_wide=True, after_s=1))
        with pytest.raises(RetriesExhausted) as given_up:
            await shared.run(full.attempt)
        assert not given_up.value.service_unavailable

    async def others() -> None:
        for _ in range(1000):
            await shared.run(Service(clock, 0, Retryable("", service_wide=True)).attempt)
            await asyncio.sleep(0)

    await asyncio.gather(one_unlucky(), others())


async def test_it_says_why_it_waits_but_not_all_the_time() -> None:
    clock = Clock()
    said: list[str] = []
    shared = patience(clock, 1000, said.append)
    for _ in range(20):
        await shared.run(Service(clock, 1, Retryable("full", service_wide=True, after_s=4)).attempt)
    assert 2 <= len(said) <= 4
    assert said[0] == "full; trying again for up to 1000 s"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("9" * 400, float("inf")),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90),
        ("Wednesday, 25-Nov-26 12:01:30 GMT", 90),  # the two older forms of RFC 9110
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
def test_what_retry_after_means(said: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": said, "Date": format_datetime(NOON, usegmt=True)}) == seconds


def test_a_date_without_a_date_is_counted_from_now() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after_s({"Retry-After": later}) or 0) <= 101
    assert retry_after_s({}) is None
